"""An index for the retrying jobs. It is built beside the running release and locks no table; a second try replaces the
invalid index that an interrupted one leaves."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [("backroom", "0003_set_aside_unreadable_jobs")]

    operations = [
        migrations.RunSQL(
            ["SET statement_timeout = 0", "SET lock_timeout = 0", "DROP INDEX IF EXISTS backroom_retrying"],
            migrations.RunSQL.noop,
        ),
        AddIndexConcurrently(
            "job",
            models.Index(
                fields=["run_at"],
                name="backroom_retrying",
                condition=models.Q(("attempts__gt", 0), ("state", "waiting")),
            ),
        ),
        # The session goes on where the tests make their database.
        migrations.RunSQL(["RESET statement_timeout", "RESET lock_timeout"], migrations.RunSQL.noop),
    ]
