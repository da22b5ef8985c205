from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0002_names_keep_their_direction'),
    ]

    operations = [
        migrations.AddField(
            model_name='product',
            name='taken',
            field=models.IntegerField(db_default=0, editable=False, help_text='pieces that orders took off the shelf and have not given back'),
        ),
    ]
