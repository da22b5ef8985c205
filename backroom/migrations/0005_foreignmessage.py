"""The table of messages in the queues that are no job's."""

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):

    dependencies = [("backroom", "0004_retrying")]

    operations = [
        migrations.CreateModel(
            name="ForeignMessage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=Now())),
                ("queue", models.CharField(max_length=100)),
                ("text", models.TextField(help_text="how it begins, as Python shows it")),
            ],
        ),
    ]
