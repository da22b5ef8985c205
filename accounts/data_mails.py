"""The mails about a person's data. They are sent to an account that still has what they are about."""

from contextlib import suppress

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import F

from accounts import erasure, exports
from accounts.mails import Text, send
from accounts.models import DataExport
from backroom import Permanent
from backroom.ledger.models import Job
from notifications.mail import RecipientDeferred

REASON = "You receive this email because of a request on the page “Your data” of your account."
EXPORT = Text(
    "Your data is ready",
    "Download it within 24 hours. Sign in first: the link opens it for you only.",
    "Download my data",
    REASON,
)
DELETION = Text(
    "Your account is being deleted",
    "You can no longer sign in to it. We now delete your data. Invoices stay as long as the law demands. This page "
    "shows how far we are.",
    "Show the progress",
    REASON,
)


def send_export(id: int) -> None:
    export = DataExport.objects.select_related("user").filter(pk=id, user__is_active=True).exclude(file=b"").first()
    if export:
        send(f"export-link:{id}", export.user.email, export.user_id, EXPORT, exports.link(export))


def send_deletion(id: int) -> None:
    """Then the address is free for another account. An address that refuses the mail, or defers it to the last attempt,
    does not stop the deletion."""
    user = User.objects.filter(pk=id, is_active=False).exclude(email="").first()
    if user:
        key = f"deletion:{id}"
        last = Job.objects.filter(key=key, attempts__gte=F("max_attempts")).exists()
        with suppress(Permanent, RecipientDeferred) if last else suppress(Permanent):
            send(key, user.email, id, DELETION, settings.SITE_URL + erasure.path(id))
        User.objects.filter(pk=id).update(email="")
