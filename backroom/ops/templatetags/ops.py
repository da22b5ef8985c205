"""How figures are written on the operations pages."""

from django import template
from django.utils.text import Truncator

from backroom.ops.rates import seconds

register = template.Library()
register.filter("seconds", seconds)


@register.filter
def ms(value: float | None) -> str:
    """Milliseconds as people say them."""
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value < 1000 else seconds(value / 1000)


@register.filter
def percent(share: float) -> str:
    """A share between 0 and 1; what is not nothing is not written as nothing, nor what is not all as all."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %" if 0 < share < 1 else f"{share * 100:.0f} %"


@register.filter
def whole_percent(share: float) -> str:
    """A share that grows: it says 100 only when all is done."""
    return f"{int(share * 100)} %"


@register.filter
def grouped(count: float) -> str:
    """1,234; with a decimal below ten, if it is no whole number."""
    return f"{count:,.1f}" if count < 10 and count != int(count) else f"{count:,.0f}"


@register.filter
def mebibytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 2**20:.0f} MiB"


@register.filter
def first_line(error: str) -> str:
    """An error's summary: its first line, as far as a table has room."""
    return Truncator(error.partition("\n")[0]).chars(140)
