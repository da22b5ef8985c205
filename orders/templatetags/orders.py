"""Words and measures for the pages of an order."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders.models import Order
from orders.storefront.timeline import Row

register = template.Library()

SAID = {
    "waiting": "waiting",
    "running": "running",
    "done": "done",
    "retrying": "trying again",
    "stuck": "gave up",
}


@register.filter
def said(state: str) -> str:
    """A state of the timeline in a customer's words."""
    return SAID.get(state, state)


@register.filter
def duration(milliseconds: int | None) -> str:
    """12 ms, 3.4 s, 2 min 5 s. Nothing for None."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes} min {seconds} s"


@register.filter
def paid_after(order: Order) -> int | None:
    """Milliseconds from the order's row in the database until it was paid: what the customer waited for, about."""
    return round((order.paid_at - order.created_at).total_seconds() * 1000) if order.paid_at else None


@register.filter
def longest(rows: list[Row]) -> int:
    """When the last job was done, in milliseconds from its enqueueing: the width of the picture.

    What waited for the bank or for another try would squeeze all others to dots; its bar runs off the edge.
    """
    ends = [(row.wait_ms or 0) + (row.run_ms or 0) for row in rows if row.kind != "settle" and row.attempts <= 1]
    return max(ends, default=0)


@register.simple_tag
def span(row: Row, whole: int) -> SafeString | str:
    """How long a job waited and ran, as a bar `whole` milliseconds wide. Numbers in attributes, so no inline styles."""
    if row.wait_ms is None or row.run_ms is None:
        return ""
    start = min(98.8, 100 * row.wait_ms / max(1, whole))
    width = max(1.2, 100 * row.run_ms / max(1, whole))  # what took a millisecond is still to be seen
    return format_html(
        '<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="waited" width="{}" y="2" height="2"/><rect class="ran" x="{}" width="{}" height="6"/></svg>',
        f"{start:.1f}",
        f"{start:.1f}",
        f"{width:.1f}",
    )
