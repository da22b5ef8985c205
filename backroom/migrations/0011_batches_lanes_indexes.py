"""Indexes of batches and lanes, built beside the running release. A second try replaces what an interrupted one left."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

INDEXES = [
    models.Index(
        fields=["batch_id", "state"], name="backroom_members", condition=models.Q(("batch_id__isnull", False))
    ),
    models.Index(
        fields=["lane", "place", "id"],
        name="backroom_lane",
        condition=models.Q(
            ("lane__isnull", False),
            models.Q(
                ("state__in", ("ready", "waiting", "running")),
                models.Q(("dead_blocks", True), ("state", "dead")),
                _connector="OR",
            ),
        ),
    ),
]
PLACE = models.UniqueConstraint(
    fields=["lane", "place"],
    name="backroom_place",
    condition=models.Q(("lane__isnull", False), ("state__in", ("ready", "running"))),
)


class Migration(migrations.Migration):

    atomic = False

    dependencies = [("backroom", "0010_batches_lanes_unique")]

    operations = [
        migrations.RunSQL(["SET statement_timeout = 0", "SET lock_timeout = 0"], migrations.RunSQL.noop),
        *[
            migrations.RunSQL(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", migrations.RunSQL.noop)
            for name in (*[index.name for index in INDEXES], PLACE.name)
        ],
        *[AddIndexConcurrently("job", index) for index in INDEXES],
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    f"CREATE UNIQUE INDEX CONCURRENTLY {PLACE.name} ON backroom_job (lane, place)"
                    " WHERE lane IS NOT NULL AND state IN ('ready', 'running')",
                    f"DROP INDEX CONCURRENTLY {PLACE.name}",
                )
            ],
            [migrations.AddConstraint("job", PLACE)],
        ),
        migrations.RunSQL(["RESET statement_timeout", "RESET lock_timeout"], migrations.RunSQL.noop),
    ]
