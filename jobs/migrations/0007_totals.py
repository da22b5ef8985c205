"""What Prometheus counts: the totals of each task, and the sums that go with its histograms."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0006_alerts'),
    ]

    operations = [
        migrations.AddField(
            model_name='taskminute',
            name='wait_s',
            field=models.FloatField(db_default=0.0, default=0.0, help_text='seconds waited by all of them'),
        ),
        migrations.AddField(
            model_name='taskminute',
            name='run_s',
            field=models.FloatField(db_default=0.0, default=0.0, help_text='seconds run by all of them'),
        ),
        migrations.CreateModel(
            name='TaskTotal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task', models.CharField(max_length=200)),
                ('queue', models.CharField(max_length=100)),
                ('succeeded', models.BigIntegerField(default=0)),
                ('retried', models.BigIntegerField(default=0)),
                ('dead', models.BigIntegerField(default=0)),
                ('waits', models.JSONField(default=dict)),
                ('runs', models.JSONField(default=dict)),
                ('wait_s', models.FloatField(default=0.0)),
                ('run_s', models.FloatField(default=0.0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('task', 'queue'), name='jobs_task_total')],
            },
        ),
    ]
