"""Columns and tables of batches, lanes, unique names, expiry, cancellation and cursors. No row is rewritten or read: the
columns may be null and have no constraint. 0011 has the indexes."""

from django.db import migrations, models
from django.db.models.functions import Now

COLUMNS = {
    "expires_at": models.DateTimeField(help_text="cancelled if not begun by then", null=True),
    "cancel_at": models.DateTimeField(help_text="since then a running job is to be cancelled", null=True),
    "cursor": models.JSONField(help_text="where a resumable job goes on", null=True),
    "batch_id": models.UUIDField(
        help_text="the batch that it is a member of; a batch has its callback's id", null=True
    ),
    "lane": models.CharField(max_length=220, null=True),
    "places": models.SmallIntegerField(help_text="of its lane", null=True),
    "dead_blocks": models.BooleanField(
        help_text="of a lane in strict order: whether a dead letter does, too", null=True
    ),
    "place": models.SmallIntegerField(
        help_text="that it holds in its lane while ready or running; 0: it waits for one", null=True
    ),
}


class Migration(migrations.Migration):

    dependencies = [("backroom", "0009_drop_replaced_indexes")]

    operations = [
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "if_dead",
                    models.CharField(help_text="a member is dead or cancelled: wait, go on, cancel", max_length=10),
                ),
                ("on_dead", models.JSONField(help_text="the row of a job to insert then", null=True)),
                (
                    "total",
                    models.PositiveIntegerField(default=0, help_text="members; only those who add some change it"),
                ),
                (
                    "succeeded",
                    models.PositiveIntegerField(default=0, help_text="when counted last, as the next two"),
                ),
                ("dead", models.PositiveIntegerField(default=0)),
                ("cancelled", models.PositiveIntegerField(default=0)),
                ("created_at", models.DateTimeField(db_default=Now())),
                ("count_again_at", models.DateTimeField(db_default=Now(), help_text="not before")),
                (
                    "failed_at",
                    models.DateTimeField(help_text="a member was first seen dead or cancelled at", null=True),
                ),
                (
                    "ended_at",
                    models.DateTimeField(help_text="its callback was released, or cancelled, at", null=True),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("ended_at", None)), fields=["count_again_at"], name="backroom_batch_open"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Unique",
            fields=[
                ("name", models.CharField(max_length=220, primary_key=True, serialize=False)),
                ("job_id", models.UUIDField()),
                ("until", models.DateTimeField(help_text="null: as long as the job's state says", null=True)),
            ],
        ),
        *[migrations.AddField(model_name="job", name=name, field=field) for name, field in COLUMNS.items()],
    ]
