"""The tables of what attempts report while they run, and of messages that are no job's."""

from django.db import models
from django.db.models.functions import Now


class Progress(models.Model):
    """How far an attempt is, and its last log lines: a row for each claim that reported anything."""

    pk = models.CompositePrimaryKey("job_id", "claim")
    job_id = models.UUIDField()  # no foreign key: a purge deletes both in one statement
    claim = models.PositiveIntegerField()
    attempt = models.PositiveSmallIntegerField()
    done = models.BigIntegerField(null=True)
    total = models.BigIntegerField(null=True, help_text="null: not known")
    rate = models.FloatField(null=True, help_text="done a second, since the first report")
    lines = models.JSONField(default=list, help_text="each with at, level and text")
    left_out = models.PositiveIntegerField(default=0, help_text="earlier lines that are not kept")
    at = models.DateTimeField(db_default=Now())
    ended = models.BooleanField(default=False, help_text="false: the attempt runs, or its process died")

    def __str__(self) -> str:
        return f"progress of attempt {self.attempt} of {self.job_id}"

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1; None if the total is not known."""
        if self.done is None or self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0

    @property
    def left_s(self) -> float | None:
        """Seconds until all is done at this rate, from `at` on; None if not known."""
        if self.done is None or self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate


class ForeignMessage(models.Model):
    """A message that no publisher of ours wrote. The newest 100 stay, BACKROOM_RETENTION_DAYS long; ids count all."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    queue = models.CharField(max_length=100)
    text = models.TextField(help_text="how it begins, as Python shows it")

    def __str__(self) -> str:
        return f"foreign message {self.id} in {self.queue}"
