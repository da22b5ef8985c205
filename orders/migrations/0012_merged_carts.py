import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("orders", "0011_people")]

    operations = [
        migrations.AddField(
            model_name="cart",
            name="merged_into",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="orders.cart"
            ),
        ),
    ]
