"""When an order's customer was erased."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("orders", "0005_plain_text")]

    operations = [
        migrations.AddField(
            model_name="order",
            name="erased_at",
            field=models.DateTimeField(editable=False, help_text="when its customer was erased: privacy.py", null=True),
        ),
    ]
