"""The pages of the cart and the checkout."""

import logging
import secrets
from decimal import Decimal

from django.contrib import messages
from django.contrib.sessions.backends.base import UpdateError
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from catalog.models import Product
from orders.models import Order, Status
from orders.ordering import checkout, delivery, refusals
from orders.storefront.cart import Cart, CartFull
from orders.storefront.forms import CartForm, CheckoutForm, UpdateForm

log = logging.getLogger(__name__)


@require_safe
def cart(request: HttpRequest) -> HttpResponse:
    """The cart. A changed price is shown once, and then counts as seen."""
    return render(request, "orders/cart.html", _cart_context(request))


def _cart_context(request: HttpRequest, country: str = delivery.DEFAULT) -> dict:
    cart = Cart(request)
    before = len(cart.items)
    lines = cart.lines()
    cart.accept_prices(lines)
    if len(cart.items) < before:
        messages.warning(request, "A product in your cart is no longer available and was removed.")
    products = sum((line.total for line in lines), Decimal(0))
    parcel = delivery.quote(country if country in delivery.ZONES else delivery.DEFAULT, products)
    return {
        "lines": lines,
        "products": products,
        "delivery": parcel,
        "free_from": delivery.FREE_FROM,
        "total": products + parcel.cost,
        "buyable": not any(line.too_many for line in lines),
    }


@require_POST
def cart_add(request: HttpRequest) -> HttpResponse:
    return _change_cart(request, CartForm(request.POST), Cart.add)


@require_POST
def cart_update(request: HttpRequest) -> HttpResponse:
    """Set the quantity of a product in the cart; 0 removes it."""
    return _change_cart(request, UpdateForm(request.POST), Cart.set)


def _change_cart(request: HttpRequest, form: CartForm, change) -> HttpResponse:
    if not form.is_valid() and "product" in form.errors:
        raise Http404("No product has this slug.")
    product = get_object_or_404(Product, slug=form.cleaned_data["product"], active=True)
    quantity = form.cleaned_data.get("quantity")
    try:
        if form.errors:
            raise CartFull(form.errors["quantity"][0])
        change(Cart(request), product, quantity)
    except CartFull as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{product.name}: {'in' if quantity else 'removed from'} your cart.")
    return HttpResponseRedirect(_next(request))  # `redirect` would take "foo" for the name of a view


def _next(request: HttpRequest) -> str:
    """The address to return to: `next` if it is in this shop, else the cart."""
    target = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if ours else reverse("orders:cart")


@require_http_methods(["GET", "HEAD", "POST"])
@cache_control(private=True, no_store=True)
def checkout_page(request: HttpRequest) -> HttpResponse:
    """The checkout form, and the order that it places."""
    if request.method == "POST":
        return _buy(request)
    if not Cart(request).items:
        messages.info(request, "Your cart is empty.")
        return redirect("orders:cart")
    form = CheckoutForm(initial={"key": _form_key(request), "country": request.GET.get("country", delivery.DEFAULT)})
    return _checkout_form(request, form)


def _form_key(request: HttpRequest, new: bool = False) -> str:
    """The idempotency key of this visitor's next order: the same in every window, until the order is placed."""
    if new or "checkout_key" not in request.session:
        request.session["checkout_key"] = secrets.token_urlsafe(24)
    return request.session["checkout_key"]


def _checkout_form(request: HttpRequest, form: CheckoutForm, error: str = "", status: int = 200) -> HttpResponse:
    context = _cart_context(request, str(form["country"].value())) | {"form": form, "error": error}
    return render(request, "orders/checkout.html", context, status=status)


def _again(request: HttpRequest, error: str, status: int) -> HttpResponse:
    """The form again, with the typed values and a new key: the next try is another order."""
    form = CheckoutForm(request.POST.dict() | {"key": _form_key(request, new=True)})
    return _checkout_form(request, form, error, status)


def _buy(request: HttpRequest) -> HttpResponse:
    form = CheckoutForm(request.POST)
    key = request.POST.get("key", "")
    last = request.session.get("last_order", {})
    if key and key == last.get("key"):  # the form of the last order, sent again
        return redirect(get_object_or_404(Order, number=last["number"]))
    cart = Cart(request)
    if not cart.items:
        messages.info(request, "Your cart is empty.")
        return redirect("orders:cart")
    if not form.is_valid():
        return _checkout_form(request, form, "Check the highlighted fields.", 422)
    # A key is valid only in its own session: elsewhere it would open another guest's order.
    if key != request.session.get("checkout_key"):
        return _again(request, "This form has expired. Check your order and place it again.", 409)
    try:
        customer = checkout.Customer(**form.customer)
        order = checkout.place(customer, cart.wanted(), form.cleaned_data["card"], key)
    except refusals.KeyReused:
        return _again(request, "This form was already sent. Check your order and place it again.", 409)
    except refusals.Refused as error:
        return _checkout_form(request, form, str(error), 409)
    return _placed(request, cart, order, key)


def _placed(request: HttpRequest, cart: Cart, order: Order, key: str) -> HttpResponse:
    if order.status == Status.DECLINED:
        return _again(request, "Your card was declined. Nothing was charged. Try another card.", 402)
    if order.status == Status.CANCELLED and order.paid_at is None:
        away = "Payments are temporarily unavailable. Nothing was charged. Try again in a minute."
        return _again(request, away, 402)  # not a 5xx: Django would not save the new key
    cart.clear()
    request.session["last_order"] = {"key": key, "number": order.number}
    request.session.pop("checkout_key", None)
    try:
        request.session.save()
    except (Error, UpdateError):
        # The order is placed, and its page is the answer. The cart stays full, but its form has this order's key.
        log.warning("the cart of order %s could not be emptied", order.number)
    request.session.modified = False  # or the middleware would save it again, and fail again
    return redirect(order)
