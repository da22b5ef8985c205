"""`{{ price|money }}`: an amount in the shop's currency; `{{ total|money:order.currency }}`: in an order's."""

from decimal import Decimal

from django import template
from django.conf import settings

register = template.Library()

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}


@register.filter
def money(amount: Decimal | None, currency: str = "") -> str:
    """12.4 as €12.40, or as 12.40 PLN for a currency without a symbol here. Empty for None."""
    if amount is None:
        return ""
    currency = currency or settings.STORE_CURRENCY
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{amount:,.2f}" if symbol else f"{amount:,.2f} {currency}"
