"""What every page knows: the shelves for its menu, and the way behind the counter."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from catalog.models import Category


def shopfront(request: HttpRequest) -> dict[str, Any]:
    """Categories (asked for only where a page shows them), and the addresses that the footer links to."""
    return {
        "shelf_list": Category.objects.all(),
        "INBOX_URL": settings.INBOX_URL,
        "FLOWER_URL": settings.FLOWER_URL,
        "PARTNERS_URL": settings.PARTNERS_URL,
        "LAB_URL": getattr(settings, "LAB_URL", ""),  # of the demo's settings only
    }
