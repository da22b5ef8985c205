"""Indexes by which a page counts jobs without reading them: ready ones by queue, waiting and dead ones with it.

Each is built beside the running release, and 0009 drops the one that it replaces; a second try replaces the invalid
index that an interrupted one leaves.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

INDEXES = [
    models.Index(
        fields=["queue", "published_at"], name="backroom_queued", condition=models.Q(("state", "ready"))
    ),
    models.Index(
        fields=["run_at"], name="backroom_scheduled", include=["queue"], condition=models.Q(("state", "waiting"))
    ),
    models.Index(
        fields=["finished_at"], name="backroom_dead_letters", include=["queue"], condition=models.Q(("state", "dead"))
    ),
]


class Migration(migrations.Migration):

    atomic = False

    dependencies = [("backroom", "0007_heartbeat_session")]

    operations = [
        migrations.RunSQL(["SET statement_timeout = 0", "SET lock_timeout = 0"], migrations.RunSQL.noop),
        *[
            migrations.RunSQL(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}", migrations.RunSQL.noop)
            for index in INDEXES
        ],
        *[AddIndexConcurrently("job", index) for index in INDEXES],
        migrations.RunSQL(["RESET statement_timeout", "RESET lock_timeout"], migrations.RunSQL.noop),
    ]
