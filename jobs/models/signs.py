"""Signs of life."""

from django.db import models
from django.db.models.functions import Now


class Worker(models.Model):
    """A running worker's sign of life. A restarted worker of the same name is another worker."""

    name = models.CharField(max_length=200, primary_key=True)
    queues = models.CharField(max_length=200)
    pool = models.PositiveSmallIntegerField(null=True, help_text="how many jobs it runs at a time")
    memory = models.BigIntegerField(null=True, help_text="bytes, of its main process and its children")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class Process(models.Model):
    """The sign of life of a dispatcher or a beat."""

    name = models.CharField(max_length=200, primary_key=True)
    role = models.CharField(max_length=20)
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name
