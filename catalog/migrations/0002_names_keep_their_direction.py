"""Names may not turn the text of a page around. Nothing changes in the database."""

import catalog.text
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='category',
            name='name',
            field=models.CharField(max_length=60, validators=[catalog.text.keeps_its_direction]),
        ),
        migrations.AlterField(
            model_name='product',
            name='name',
            field=models.CharField(max_length=100, validators=[catalog.text.keeps_its_direction]),
        ),
        migrations.AlterField(
            model_name='product',
            name='unit',
            field=models.CharField(default='piece', help_text='kg, piece, bunch, jar …', max_length=30, validators=[catalog.text.keeps_its_direction]),
        ),
    ]
