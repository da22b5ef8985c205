"""The formats of the operations pages as template filters, and the links of their header."""

from contextlib import suppress

from django import template
from django.urls import NoReverseMatch, reverse

from backroom.conf import conf
from backroom.ops import formats

register = template.Library()
for name in "seconds", "ms", "percent", "whole_percent", "grouped", "mebibytes", "first_line":
    register.filter(name, getattr(formats, name))


@register.simple_tag
def links() -> list[tuple[str, str]]:
    """The header's links with their addresses. A link without an address is left out."""
    found = [("Site", conf.SITE_URL), ("Flower", conf.FLOWER_URL)]
    with suppress(NoReverseMatch):
        found.append(("Admin", reverse("admin:index")))
    return [(name, address) for name, address in found if address]
