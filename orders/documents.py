"""The tables of invoices, credit notes and labels. A document never changes; after its retention privacy.py empties its
PDF.

Invoices and credit notes have a series each, without gaps, as the law of many countries demands. A series counts what
it numbers.
"""

from django.conf import settings
from django.db import connection, models
from django.db.models.functions import Now


class Document(models.Model):
    """A numbered PDF of one order. An older release leaves `number` empty and prints the order's number; the label's
    prefix is new, so no printed number comes twice."""

    number = models.PositiveIntegerField(null=True, unique=True, editable=False)
    pdf = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.label}".capitalize()

    @property
    def label(self) -> str:
        """The number as it is printed."""
        raise NotImplementedError

    @classmethod
    def take_number(cls) -> int:
        """The next number of the series, for a row of the same transaction. The limit: its PDF is rendered meanwhile,
        so documents of a series are made one after the other.

        Race: two workers at once. The second waits for the first's commit, then reads its row. A rollback leaves no
        gap, which a sequence would. A worker that freezes here stops the series until PostgreSQL's
        idle_in_transaction_session_timeout; until then the others' jobs meet lock_timeout, and wait.

        A database that is restored from a backup would print numbers again: DOCUMENTS_FROM leaves them out.
        """
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [cls._meta.db_table])
        last = cls._default_manager.aggregate(last=models.Max("number"))["last"] or 0
        return max(last + 1, settings.DOCUMENTS_FROM)


class Invoice(Document):
    order = models.OneToOneField("orders.Order", on_delete=models.CASCADE, primary_key=True, related_name="invoice")

    @property
    def label(self) -> str:
        return f"INV-{self.number}" if self.number else str(self.order_id)


class CreditNote(Document):
    """It cancels an order's invoice."""

    order = models.OneToOneField("orders.Order", on_delete=models.CASCADE, primary_key=True, related_name="credit_note")

    @property
    def label(self) -> str:
        return f"CRN-{self.number}" if self.number else f"CN-{self.order_id}"


class Label(models.Model):
    """The shipping label. It shows an address, so the erasure of the customer deletes it."""

    order = models.OneToOneField("orders.Order", on_delete=models.CASCADE, primary_key=True, related_name="label")
    pdf = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"Label of order {self.order_id}"
