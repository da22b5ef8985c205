"""Attempts that failed, signs of life, the minutes of queues and tasks, pauses, and what people did."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0002_vacuum_early'),
    ]

    operations = [
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('job_id', models.UUIDField(db_index=True)),
                ('task', models.CharField(max_length=200)),
                ('queue', models.CharField(max_length=100)),
                ('number', models.PositiveSmallIntegerField()),
                ('became', models.CharField(help_text="the job's state after it: waiting or dead", max_length=10)),
                ('worker', models.CharField(max_length=200)),
                ('published_at', models.DateTimeField(null=True)),
                ('started_at', models.DateTimeField(help_text='null: it was refused before it began', null=True)),
                ('ended_at', models.DateTimeField(db_index=True)),
                ('error', models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name='Pause',
            fields=[
                ('what', models.CharField(max_length=220, primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('who', models.CharField(max_length=150)),
                ('why', models.CharField(max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name='Process',
            fields=[
                ('name', models.CharField(max_length=200, primary_key=True, serialize=False)),
                ('role', models.CharField(max_length=20)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.AddField(
            model_name='worker',
            name='memory',
            field=models.BigIntegerField(help_text='bytes, of its main process and its children', null=True),
        ),
        migrations.AddField(
            model_name='worker',
            name='pool',
            field=models.PositiveSmallIntegerField(help_text='how many jobs it runs at a time', null=True),
        ),
        migrations.CreateModel(
            name='Action',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('who', models.CharField(max_length=150)),
                ('verb', models.CharField(max_length=20)),
                ('what', models.CharField(max_length=300)),
                ('jobs', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None)),
                ('why', models.CharField(max_length=200)),
            ],
            options={
                'indexes': [django.contrib.postgres.indexes.GinIndex(fields=['jobs'], name='jobs_action_jobs')],
            },
        ),
        migrations.CreateModel(
            name='QueueMinute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField()),
                ('queue', models.CharField(max_length=100)),
                ('depth', models.PositiveIntegerField(help_text='ready, or due and not published', null=True)),
                ('running', models.PositiveIntegerField(null=True)),
                ('oldest_s', models.FloatField(help_text='how long the oldest of them has been due', null=True)),
                ('succeeded', models.PositiveIntegerField(default=0)),
                ('retried', models.PositiveIntegerField(default=0)),
                ('dead', models.PositiveIntegerField(default=0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('minute', 'queue'), name='jobs_queue_minute')],
            },
        ),
        migrations.CreateModel(
            name='TaskMinute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField()),
                ('task', models.CharField(max_length=200)),
                ('queue', models.CharField(max_length=100)),
                ('succeeded', models.PositiveIntegerField(default=0)),
                ('retried', models.PositiveIntegerField(default=0)),
                ('dead', models.PositiveIntegerField(default=0)),
                ('waits', models.JSONField(default=dict)),
                ('runs', models.JSONField(default=dict)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('minute', 'task', 'queue'), name='jobs_task_minute')],
            },
        ),
    ]
