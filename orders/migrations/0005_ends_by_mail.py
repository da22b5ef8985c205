from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0004_repairs'),
    ]

    operations = [
        migrations.AddField(
            model_name='order',
            name='ends_by_mail',
            field=models.BooleanField(db_default=False, editable=False, help_text="it ended unpaid behind its customer's back, who is mailed so"),
        ),
    ]
