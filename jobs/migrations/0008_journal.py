"""What attempts tell while they run. A row is rewritten once a second at most, in place where its page has room."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_totals")]
    operations = [
        migrations.CreateModel(
            name="Journal",
            fields=[
                ("pk", models.CompositePrimaryKey("job_id", "claim", blank=True, editable=False, primary_key=True, serialize=False)),
                ("job_id", models.UUIDField()),
                ("claim", models.PositiveIntegerField()),
                ("attempt", models.PositiveSmallIntegerField()),
                ("done", models.BigIntegerField(null=True)),
                ("total", models.BigIntegerField(help_text="null: nobody knows how many there are", null=True)),
                ("rate", models.FloatField(help_text="done a second, since the first report", null=True)),
                ("lines", models.JSONField(default=list, help_text="each with at, level and text")),
                ("left_out", models.PositiveIntegerField(default=0, help_text="earlier lines that are not kept")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("ended", models.BooleanField(default=False, help_text="false: it runs, or it had no time to say goodbye")),
            ],
        ),
        migrations.RunSQL("ALTER TABLE jobs_journal SET (fillfactor = 70)", migrations.RunSQL.noop),
    ]
