"""The link to an export. It opens for the staff member who requested it only, signed in, who may still see what is in
it. It lasts LASTS from when the file was made; then the file is deleted."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.db.models.functions import Now
from django.urls import reverse

from accounts.mails import Text, send
from orders.exports.tables import TABLES
from orders.models import Export

SALT = "orders.exports"
LASTS = timedelta(days=1)
ADD = "orders.add_export"


def kinds(user: Any) -> list[Export.Kind]:
    """What a user, who may be None, may export: that which they may see in the admin, one by one."""
    if not (user and user.is_active and user.is_staff and user.has_perm(ADD)):
        return []
    return [kind for kind in Export.Kind if user.has_perm(TABLES[kind].needs)]


def allowed(export: Export) -> bool:
    """Whether the one who requested it may have it today."""
    return export.kind in kinds(export.user)


def link(export: Export) -> str:
    """Made when its mail is sent, or its page shown: no job holds it. The token is in the query, as no log has it."""
    token = urlencode({"token": signing.dumps(export.pk, salt=SALT)})
    return f"{settings.SITE_URL}{reverse('admin:orders_export_file')}?{token}"


def opened(token: str, user: int | None) -> Export | None:
    """The export of this link. None for any other: forged, too old, deleted, another's, or no longer allowed."""
    try:
        id = signing.loads(token, salt=SALT, max_age=LASTS)
    except signing.BadSignature:
        return None
    found = Export.objects.select_related("user").filter(pk=id, user=user, made_at__gt=Now() - LASTS)
    export = found.exclude(file="").first()
    return export if export and allowed(export) else None


def mail(id: int) -> None:
    """Send the link, unless the file is gone or its owner may no longer have it."""
    export = Export.objects.select_related("user").filter(pk=id).exclude(file="").first()
    if export and export.user and export.user.email and export.made_at and allowed(export):
        text = Text(
            f"Your export of {export.get_kind_display()} is ready",
            f"It has {export.rows} rows. Download it until {export.made_at + LASTS:%-d %B, %H:%M} UTC. Sign in first: "
            "the link opens it for you only.",
            "Download",
            "You receive this email because you started an export in the admin.",
        )
        send(f"staff-export-link:{id}", export.user.email, export.user.pk, text, link(export))
