"""`{% stock_alert product %}` on a sold-out product's page: the button to be emailed, or that it was pressed."""

from typing import Any

from django import template
from django.template import Context

from catalog.models import Product
from marketing import stock_alerts

register = template.Library()


@register.inclusion_tag("marketing/_stock_alert.html", takes_context=True)
def stock_alert(context: Context, product: Product) -> dict[str, Any]:
    request = context["request"]
    user = request.user
    waits = user.is_authenticated and stock_alerts.waits(user.pk, product)
    return {"product": product, "user": user, "waits": waits, "request": request}
