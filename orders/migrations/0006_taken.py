from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0005_ends_by_mail'),
        ('catalog', '0003_taken'),
    ]

    operations = [
        migrations.AddField(
            model_name='orderline',
            name='taken',
            field=models.PositiveSmallIntegerField(db_default=0, editable=False, help_text="of these, so many are counted in the product's `taken`"),
        ),
    ]
