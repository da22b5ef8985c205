"""What an attempt reports while it runs."""

from django.db import models
from django.db.models.functions import Now


class Progress(models.Model):
    """What an attempt told while it ran (backroom/observe/progress.py): how far it was, and its last log lines. A row for each claim
    that told anything."""

    pk = models.CompositePrimaryKey("job_id", "claim")
    job_id = models.UUIDField()  # no foreign key: purge deletes both in one statement
    claim = models.PositiveIntegerField()
    attempt = models.PositiveSmallIntegerField()
    done = models.BigIntegerField(null=True)
    total = models.BigIntegerField(null=True, help_text="null: nobody knows how many there are")
    rate = models.FloatField(null=True, help_text="done a second, since the first report")
    lines = models.JSONField(default=list, help_text="each with at, level and text")
    left_out = models.PositiveIntegerField(default=0, help_text="earlier lines that are not kept")
    at = models.DateTimeField(db_default=Now())
    ended = models.BooleanField(default=False, help_text="false: it runs, or it had no time to say goodbye")

    def __str__(self) -> str:
        return f"what attempt {self.attempt} of {self.job_id} told"

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1; None where nobody knows how much there is."""
        if self.done is None or self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0

    @property
    def left_s(self) -> float | None:
        """Seconds until all is done, at this rate, from `at` on; None where that can't be known."""
        if self.done is None or self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate
