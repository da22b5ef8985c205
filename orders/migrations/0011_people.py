"""The account of an order and of a cart, and what the warehouse reports. 0013 builds the index of orders by account
beside the running release: here, checkouts would wait for it."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0010_numbers_that_do_not_count'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Label',
            fields=[
                ('order', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='label', serialize=False, to='orders.order')),
                ('pdf', models.BinaryField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
        ),
        migrations.AddField(
            model_name='cart',
            name='user',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='cart', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='order',
            name='delivered_at',
            field=models.DateTimeField(editable=False, help_text='when it arrived, by the warehouse', null=True),
        ),
        migrations.AddField(
            model_name='order',
            name='shipped_at',
            field=models.DateTimeField(editable=False, help_text='when it left, by the warehouse', null=True),
        ),
        migrations.AddField(
            model_name='order',
            name='tracking',
            field=models.CharField(db_default='', editable=False, help_text="the warehouse's number", max_length=40),
        ),
        migrations.AddField(
            model_name='order',
            name='user',
            field=models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='orders', to=settings.AUTH_USER_MODEL),
        ),
        migrations.CreateModel(
            name='ShipmentEvent',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('kind', models.CharField(help_text='shipped or delivered', max_length=20)),
                ('at', models.DateTimeField(help_text='when it happened, by the warehouse')),
                ('received_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='shipment_events', to='orders.order')),
            ],
            options={
                'ordering': ['at'],
            },
        ),
    ]
