"""An index for the orders whose customer is not erased. It is built beside the running release and locks no table; a
second try replaces the invalid index that an interrupted one leaves."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [("orders", "0006_erased_at")]

    operations = [
        migrations.RunSQL(
            ["SET statement_timeout = 0", "SET lock_timeout = 0", "DROP INDEX IF EXISTS orders_unerased"],
            migrations.RunSQL.noop,
        ),
        AddIndexConcurrently(
            "order",
            models.Index(fields=["created_at"], name="orders_unerased", condition=models.Q(erased_at=None)),
        ),
        migrations.RunSQL(["RESET statement_timeout", "RESET lock_timeout"], migrations.RunSQL.noop),
    ]
