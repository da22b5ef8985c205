"""What customers ask of a product: a notice once it is back in stock."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods

from accounts.access import customer_required
from catalog.models import Product
from marketing import stock_alerts

FORM = ["GET", "HEAD", "POST"]


@require_http_methods(FORM)
@customer_required
def stock_alert(request: HttpRequest, slug: str) -> HttpResponse:
    """Note that the customer waits for the product. After a sign-in the browser comes by GET, back to the product."""
    product = get_object_or_404(Product, slug=slug, active=True)
    if request.method == "POST":
        if stock_alerts.ask(request.user.pk, product):  # type: ignore[arg-type] # customer_required
            messages.success(request, f"We will tell you when {product.name} is back in stock.")
        else:
            messages.info(request, f"{product.name} is back in stock.")
    return redirect(product)
