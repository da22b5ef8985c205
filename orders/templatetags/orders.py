"""Durations and bars for an order's timeline."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders.models import Order
from orders.storefront.timeline import Row

register = template.Library()


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
    """Milliseconds from the insert of the order until its payment was authorized. The customer waited longer:
    timeline.js measures that."""
    return round((order.paid_at - order.created_at).total_seconds() * 1000) if order.paid_at else None


@register.filter
def longest(rows: list[Row]) -> int:
    """The longest time from enqueueing to the end of a job, in ms: the width of the chart. Jobs that wait for the bank
    or a retry do not count, as they would shrink all others to dots; their bars leave the chart."""
    ends = [(row.wait_ms or 0) + (row.run_ms or 0) for row in rows if row.kind != "settle" and row.attempts <= 1]
    return max(ends, default=0)


@register.simple_tag
def span(row: Row, whole: int) -> SafeString | str:
    """A bar of the waiting and running time, `whole` ms wide. SVG attributes, as the CSP forbids inline styles."""
    if row.wait_ms is None or row.run_ms is None:
        return ""
    start = min(98.8, 100 * row.wait_ms / max(1, whole))
    width = max(1.2, 100 * row.run_ms / max(1, whole))  # a millisecond stays visible
    return format_html(
        '<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="waited" width="{}" y="2" height="2"/><rect class="ran" x="{}" width="{}" height="6"/></svg>',
        f"{start:.1f}",
        f"{start:.1f}",
        f"{width:.1f}",
    )
