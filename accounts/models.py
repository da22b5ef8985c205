"""The tables of accounts. Django's `User` and allauth's `EmailAddress` hold the rest."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from catalog.text import plain_line


class Customer(models.Model):
    """The delivery address that a person saved; empty fields until then."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="customer"
    )
    name = models.CharField(max_length=100, blank=True, validators=[plain_line])
    address = models.CharField(max_length=200, blank=True, validators=[plain_line])
    city = models.CharField(max_length=100, blank=True, validators=[plain_line])
    postcode = models.CharField(max_length=16, blank=True, validators=[plain_line])
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166-1 alpha-2")

    def __str__(self) -> str:
        return f"Customer {self.pk}"


class DataExport(models.Model):
    """What a person asked to have of their data. A job writes `file`, a JSON document, and mails the link."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="exports")
    file = models.BinaryField(default=b"")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Export {self.pk}"


class FormerAddress(models.Model):
    """The address that an account had, until the mail about the change is sent to it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    email = models.EmailField()

    def __str__(self) -> str:
        return f"Former address {self.pk}"
