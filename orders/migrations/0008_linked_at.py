"""When a mail renewed the link to an order."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("orders", "0007_unerased")]

    operations = [
        migrations.AddField(
            model_name="order",
            name="linked_at",
            field=models.DateTimeField(editable=False, help_text="when a mail renewed the ended link", null=True),
        ),
    ]
