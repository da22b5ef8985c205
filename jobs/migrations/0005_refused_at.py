"""Since when a job has been refused. Nullable and without a default: code of before goes on beside it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_origin")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="refused_at",
            field=models.DateTimeField(help_text="since when nobody has known its task or arguments", null=True),
        )
    ]
