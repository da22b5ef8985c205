"""The application draws an order's number. The column still counts for an older release, from below its range."""

from django.db import migrations, models

import orders.numbers


class Migration(migrations.Migration):

    dependencies = [("orders", "0009_numbered_documents")]

    operations = [
        migrations.AlterField(
            model_name="order",
            name="number",
            field=models.BigAutoField(default=orders.numbers.new_number, primary_key=True, serialize=False),
        ),
        migrations.AlterModelOptions(
            name="order",
            options={
                "ordering": ["-created_at", "-number"],
                "permissions": [("cancel_order", "Can cancel and refund an order")],
            },
        ),
    ]
