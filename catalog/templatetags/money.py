"""`{{ price|money:currency }}`: an amount with its currency."""

from decimal import Decimal

from django import template

register = template.Library()

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}


@register.filter
def money(amount: Decimal | None, currency: str = "EUR") -> str:
    """12.4 as €12.40, or as 12.40 PLN for a currency without a symbol here. Empty for None."""
    if amount is None:
        return ""
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{amount:,.2f}" if symbol else f"{amount:,.2f} {currency}"
