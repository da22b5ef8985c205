"""Refuse JSON that is nested too deep to be read. New rows only: the check of all rows must not hold the table's lock."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


def at_most(depth, field):
    path = models.Value(f"!exists($.**{{{depth + 1}}})")
    return models.Func(models.F(field), path, function="jsonb_path_match", output_field=models.BooleanField())


class Migration(migrations.Migration):

    dependencies = [
        ("backroom", "0001_initial"),
    ]

    operations = [
        AddConstraintNotValid(
            model_name="job",
            constraint=models.CheckConstraint(condition=at_most(16, "args"), name="backroom_args_readable"),
        ),
        AddConstraintNotValid(
            model_name="job",
            constraint=models.CheckConstraint(condition=at_most(15, "result"), name="backroom_result_readable"),
        ),
    ]
