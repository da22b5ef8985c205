"""Jobs that an earlier release took and no process could read: dead, with the arguments as text in the error."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations

SET_ASIDE = """
    UPDATE backroom_job SET args = '{}', finished_at = COALESCE(finished_at, clock_timestamp()),
        state = CASE WHEN state IN ('succeeded', 'cancelled') THEN state ELSE 'dead' END,
        error = 'Its arguments are nested too deep to be read. They were: ' || left(args::text, 8000)
    WHERE NOT jsonb_path_match(args, '!exists($.**{17})')
"""
DROP_RESULT = """
    UPDATE backroom_job SET result = NULL,
        error = 'Its result is nested too deep to be read. It was: ' || left(result::text, 8000)
    WHERE NOT jsonb_path_match(result, '!exists($.**{16})')
"""


class Migration(migrations.Migration):

    dependencies = [
        ("backroom", "0002_readable_json"),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL statement_timeout = 0", migrations.RunSQL.noop),
        migrations.RunSQL([SET_ASIDE, DROP_RESULT], migrations.RunSQL.noop),
        ValidateConstraint("job", "backroom_args_readable"),
        ValidateConstraint("job", "backroom_result_readable"),
    ]
