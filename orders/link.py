"""The link to an order: its token gives a guest access, until some time after the delivery."""

import secrets
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from orders.cart import new_token

LASTS = timedelta(days=60)  # longer than a customer needs to complain; a mail has a new link


class Linked(models.Model):
    """The part of an order that its link is about."""

    token = models.CharField(max_length=43, default=new_token, editable=False)
    linked_at = models.DateTimeField(null=True, editable=False, help_text="when a mail renewed the ended link")

    class Meta:
        abstract = True

    def get_absolute_url(self) -> str:
        return self.address_of("orders:order")

    @property
    def link_lasts_from(self) -> datetime | None:
        """None: it does not end yet."""
        raise NotImplementedError

    @property
    def link_ended(self) -> bool:
        begin = self.link_lasts_from
        return begin is not None and max(begin, self.linked_at or begin) + LASTS < timezone.now()

    def renew_link(self) -> None:
        """Replace the token of a link that has ended. Of two mails at once one does it, and both have the new link."""
        if self.link_ended:
            type(self)._default_manager.filter(pk=self.pk, token=self.token).update(token=new_token(), linked_at=Now())
            self.refresh_from_db(fields=["token", "linked_at"])

    def admits(self, token: str) -> bool:
        """Whether `token` gives access to this order now, in constant time."""
        same = secrets.compare_digest(self.token.encode(), token.encode("utf-8", "surrogatepass"))
        return same and not self.link_ended

    def address_of(self, view: str) -> str:
        """The path of one of the order's pages, with its token."""
        return f"{reverse(view, args=[self.pk])}?{urlencode({'token': self.token})}"

    @property
    def cancel_url(self) -> str:
        return self.address_of("orders:cancel")

    @property
    def claim_url(self) -> str:
        return self.address_of("orders:claim")

    @property
    def review_url(self) -> str:
        return self.address_of("marketing:review")

    @property
    def timeline_url(self) -> str:
        return self.address_of("orders:timeline")

    @property
    def invoice_url(self) -> str:
        return self.address_of("orders:invoice")

    @property
    def credit_note_url(self) -> str:
        return self.address_of("orders:credit-note")
