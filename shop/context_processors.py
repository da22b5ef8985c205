"""What base.html needs on every page."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from catalog.models import Category


def shopfront(request: HttpRequest) -> dict[str, Any]:
    """The categories of the menu, as a lazy query, and the addresses of the footer's links."""
    return {
        "shelf_list": Category.objects.all(),
        "INBOX_URL": settings.INBOX_URL,
        "FLOWER_URL": settings.BACKROOM_FLOWER_URL,
        "PARTNERS_URL": settings.BACKROOM_PARTNERS_URL,
        "LAB_URL": getattr(settings, "LAB_URL", ""),  # only the demo's settings have it
    }
