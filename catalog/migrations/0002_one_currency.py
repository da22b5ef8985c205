"""Products have no currency of their own: the shop has one, settings.STORE_CURRENCY.

The column stays, with a default, for processes of the release before. A later release may drop it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial")]

    operations = [
        migrations.AlterField("product", "currency", models.CharField(max_length=3, default="EUR", db_default="EUR")),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("product", "currency")]),
    ]
