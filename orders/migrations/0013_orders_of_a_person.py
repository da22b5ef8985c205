"""The indexes that find a person's orders. They are built beside the running release and lock no table; a second try
replaces the invalid index that an interrupted one leaves."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Upper


class Migration(migrations.Migration):

    atomic = False

    dependencies = [("orders", "0012_merged_carts")]

    operations = [
        migrations.RunSQL(
            [
                "SET statement_timeout = 0",
                "SET lock_timeout = 0",
                "DROP INDEX IF EXISTS orders_of_user",
                "DROP INDEX IF EXISTS orders_email",
            ],
            migrations.RunSQL.noop,
        ),
        AddIndexConcurrently(
            "order", models.Index(fields=["user", "-created_at", "-number"], name="orders_of_user")
        ),
        AddIndexConcurrently("order", models.Index(Upper("email"), name="orders_email")),
        migrations.RunSQL(["RESET statement_timeout", "RESET lock_timeout"], migrations.RunSQL.noop),
    ]
