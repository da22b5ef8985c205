"""The numbers of invoices and credit notes. Earlier documents keep the number that they were printed with."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("orders", "0008_linked_at")]

    operations = [
        migrations.AddField(
            model_name=document,
            name="number",
            field=models.PositiveIntegerField(editable=False, null=True, unique=True),
        )
        for document in ("invoice", "creditnote")
    ]
