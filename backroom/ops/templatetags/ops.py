"""The formats of the operations pages as template filters, and the links of their header."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from backroom.conf import conf
from backroom.ledger.models import Job
from backroom.ops import formats
from backroom.ops.levels import Level
from backroom.ops.pages.tabs import Tab, kind

register = template.Library()
for name in "seconds", "ms", "percent", "whole_percent", "grouped", "mebibytes", "first_line":
    register.filter(name, getattr(formats, name))

register.filter("kind", kind)
register.filter("count", Level.shown)


@register.filter
def when(tab: Tab | str, job: Job) -> datetime | None:
    """The job's time on this tab."""
    return getattr(job, "created_at" if not isinstance(tab, Tab) or tab.column == "id" else tab.column)


@register.filter
def at(found: Mapping[Any, Any], key: Any) -> Any:
    """The value at a key; None if it is missing."""
    return found.get(key) if found else None


@register.simple_tag
def links() -> list[tuple[str, str]]:
    """The header's links with their addresses. A link without an address is left out."""
    found = [("Site", conf.SITE_URL), ("Flower", conf.FLOWER_URL)]
    with suppress(NoReverseMatch):
        found.append(("Admin", reverse("admin:index")))
    return [(name, address) for name, address in found if address]
