"""A person's export of their data: made by a job, and opened by a link in a mail.

The link opens it for the person that is signed in only. So neither a stranger who reads the mailbox nor one who sits at
an open session has the file. It lasts LINK_LASTS from the mail; then the file is deleted.
"""

import json
from datetime import timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models.functions import Now
from django.urls import reverse

from accounts import personal_data
from accounts.models import DataExport

SALT = "accounts.exports"
LINK_LASTS = timedelta(hours=24)
KEPT = timedelta(hours=48)  # the mail may come hours after the file was asked for


def make(id: int) -> None:
    """Write the document; a second call does nothing. It reports the orders as progress. The limit: it is built in
    memory, with all documents."""
    export = DataExport.objects.select_related("user").filter(pk=id, file=b"", user__is_active=True).first()
    if export:
        found = personal_data.export(export.user.email, export.user)
        text = json.dumps(found, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
        DataExport.objects.filter(pk=id).update(file=text.encode())


def link(export: DataExport) -> str:
    """Made when its mail is sent, so no job holds it. The token is in the query, as no log has it."""
    token = urlencode({"token": signing.dumps(export.pk, salt=SALT)})
    return f"{settings.SITE_URL}{reverse('accounts:export')}?{token}"


def opened(token: str, user: int | None) -> DataExport | None:
    """The export of this link, if it is this person's. None for any other: forged, too old, deleted, another's."""
    try:
        id = signing.loads(token, salt=SALT, max_age=LINK_LASTS)
    except signing.BadSignature:
        return None
    return DataExport.objects.filter(pk=id, user=user).exclude(file=b"").first()


def purge() -> int:
    """Delete old exports; returns how many."""
    return DataExport.objects.filter(created_at__lt=Now() - KEPT).delete()[0]
