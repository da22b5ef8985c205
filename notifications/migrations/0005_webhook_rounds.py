from django.db import migrations, models

import notifications.endpoints.models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0004_files_and_strangers")]

    operations = [
        migrations.AddField("delivery", "round", models.PositiveIntegerField(db_default=1)),
        migrations.AddField(
            "endpoint", "former_secret", models.CharField(db_default="", editable=False, max_length=100)
        ),
        migrations.AddField("endpoint", "former_until", models.DateTimeField(editable=False, null=True)),
        migrations.AlterField(
            "endpoint",
            "secret",
            models.CharField(default=notifications.endpoints.models.new_secret, editable=False, max_length=100),
        ),
        migrations.AlterField(
            "endpoint",
            "in_order",
            models.BooleanField(
                default=False,
                help_text="An event that fails holds up the later ones until we give it up.",
                verbose_name="strictly in order",
            ),
        ),
        migrations.AddIndex("event", models.Index(fields=["at"], name="notifications_event_at")),
    ]
