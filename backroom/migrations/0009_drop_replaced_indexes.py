"""Drops the indexes that those of 0008 replace, beside the running release."""

from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):

    atomic = False

    dependencies = [("backroom", "0008_counted_indexes")]

    operations = [
        migrations.RunSQL(["SET statement_timeout = 0", "SET lock_timeout = 0"], migrations.RunSQL.noop),
        RemoveIndexConcurrently("job", "backroom_ready"),
        RemoveIndexConcurrently("job", "backroom_waiting"),
        RemoveIndexConcurrently("job", "backroom_dead"),
        migrations.RunSQL(["RESET statement_timeout", "RESET lock_timeout"], migrations.RunSQL.noop),
    ]
