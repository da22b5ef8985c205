"""`{{ price|money:currency }}`: an amount as people write it."""

from decimal import Decimal

from django import template

register = template.Library()

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}


@register.filter
def money(amount: Decimal | None, currency: str = "EUR") -> str:
    """12.4 as €12.40; with a currency that has no sign here as 12.40 PLN. Nothing for None."""
    if amount is None:
        return ""
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{amount:,.2f}" if symbol else f"{amount:,.2f} {currency}"
