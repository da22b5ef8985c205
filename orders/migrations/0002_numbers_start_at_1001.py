from django.db import migrations


class Migration(migrations.Migration):
    """Order numbers start at 1001. START is set too, so that emptying the table with RESTART IDENTITY keeps it."""

    dependencies = [("orders", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE orders_order ALTER COLUMN number SET START WITH 1001 RESTART",
            migrations.RunSQL.noop,
        )
    ]
