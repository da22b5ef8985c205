"""When a product was added, and its price before an offer. The products of before are not new: no digest lists them."""

from datetime import UTC, datetime

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0003_plain_text'),
    ]

    operations = [
        migrations.AddField(
            model_name='product',
            name='added_at',
            field=models.DateTimeField(db_default=datetime(2000, 1, 1, tzinfo=UTC), editable=False),
        ),
        migrations.AlterField(
            model_name='product',
            name='added_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
        ),
        migrations.AddField(
            model_name='product',
            name='was',
            field=models.DecimalField(blank=True, decimal_places=2, help_text='Above the price. Pages show the product as an offer.', max_digits=8, null=True, verbose_name='price before the offer'),
        ),
        migrations.AddConstraint(
            model_name='product',
            constraint=models.CheckConstraint(condition=models.Q(('was', None), ('was__gt', models.F('price')), _connector='OR'), name='catalog_product_offer_is_cheaper', violation_error_message='The price before the offer must be above the price.'),
        ),
    ]
