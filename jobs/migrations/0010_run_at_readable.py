"""No job at a time that Python can't read: one such row made every page and audit fail that met it. Checked in a
transaction of its own, beside the traffic: the first step holds the table for a moment only."""

import datetime

from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models

# What was put off for ever stays so; what was due since ever is due.
BROUGHT_BACK = """
UPDATE jobs_job SET run_at = LEAST(GREATEST(run_at, '0001-01-02+00'), '9999-12-30+00')
WHERE run_at NOT BETWEEN '0001-01-02+00' AND '9999-12-30+00'
"""


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('jobs', '0009_whole_actions'),
    ]

    operations = [
        migrations.RunSQL(BROUGHT_BACK, migrations.RunSQL.noop),
        AddConstraintNotValid(
            model_name='job',
            constraint=models.CheckConstraint(condition=models.Q(('run_at__range', (datetime.datetime(1, 1, 2, 0, 0, tzinfo=datetime.timezone.utc), datetime.datetime(9999, 12, 30, 0, 0, tzinfo=datetime.timezone.utc)))), name='jobs_run_at_readable'),
        ),
        ValidateConstraint(model_name='job', name='jobs_run_at_readable'),
    ]
