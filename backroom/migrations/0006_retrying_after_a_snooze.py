"""The index for the retrying jobs has those, too, whose attempt did not count: an open breaker lets them wait."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [("backroom", "0005_foreignmessage")]

    operations = [
        migrations.RunSQL(["SET statement_timeout = 0", "SET lock_timeout = 0"], migrations.RunSQL.noop),
        RemoveIndexConcurrently("job", "backroom_retrying"),  # a second try also drops an invalid one
        AddIndexConcurrently(
            "job",
            models.Index(
                fields=["run_at"],
                name="backroom_retrying",
                condition=models.Q(("claims__gt", 0), ("state", "waiting")),
            ),
        ),
        migrations.RunSQL(["RESET statement_timeout", "RESET lock_timeout"], migrations.RunSQL.noop),
    ]
