from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("backroom", "0006_retrying_after_a_snooze")]

    operations = [
        migrations.AddField(
            model_name="heartbeat",
            name="session",
            field=models.CharField(
                db_default="",
                default="",
                help_text="role/application_name of a worker's sessions, if it can tell",
                max_length=200,
            ),
        ),
    ]
