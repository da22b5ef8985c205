from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0014_files_and_strangers'),
    ]

    operations = [
        migrations.AlterField(
            model_name='export',
            name='kind',
            field=models.CharField(choices=[('orders', 'orders'), ('customers', 'customers'), ('products', 'products')], max_length=9),
        ),
    ]
