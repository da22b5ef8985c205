"""The pages of the cart and the checkout."""

import logging

from django.contrib import messages
from django.core.signing import BadSignature
from django.db import Error
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_safe

from backroom.inbound.limits import LimitReached
from backroom.ledger import db_errors
from catalog.models import Product
from orders.cart import Cart, CartFull
from orders.models import Order, Status
from orders.ordering import checkout, delivery, refusals
from orders.storefront import addresses, limited
from orders.storefront.cart import Offer, cart_of, open_cart
from orders.storefront.forms import CartForm, CheckoutForm, UpdateForm

log = logging.getLogger(__name__)

EXPIRED = "This form has expired. Check your order and place it again."
CHANGED = "Your order has changed since this page was shown. Nothing was charged."
FORM = ["GET", "HEAD", "POST"]


@require_safe
def cart(request: HttpRequest) -> HttpResponse:
    """The cart. A changed price is shown once, and then counts as seen."""
    cart = cart_of(request)
    return render(request, "orders/cart.html", _cart_context(cart) if cart else {})


def _cart_context(cart: Cart, country: str = delivery.DEFAULT) -> dict:
    offer = Offer.of(cart, country)
    cart.accept_prices()
    return {"offer": offer, "free_from": delivery.FREE_FROM}


@require_http_methods(FORM)
def cart_add(request: HttpRequest) -> HttpResponse:
    return _change_cart(request, CartForm(request.POST), Cart.add)


@require_http_methods(FORM)
def cart_update(request: HttpRequest) -> HttpResponse:
    """Set the quantity of a product in the cart; 0 removes it."""
    return _change_cart(request, UpdateForm(request.POST), Cart.set)


def _change_cart(request: HttpRequest, form: CartForm, change) -> HttpResponse:
    if request.method != "POST":  # a browser repeats the address of an error page by GET
        return redirect("orders:cart")
    if not form.is_valid() and "product" in form.errors:
        raise Http404("No product has this slug.")
    product = get_object_or_404(Product, slug=form.cleaned_data["product"])
    try:
        if form.errors:
            raise CartFull(f"{product.name}: {next(iter(form.errors.values()))[0]}")
        quantity = form.cleaned_data["quantity"] + (form.cleaned_data.get("step") or 0)
        change(open_cart(request), product, max(0, quantity))
    except CartFull as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{product.name}: {'in' if quantity > 0 else 'removed from'} your cart.")
    return HttpResponseRedirect(_next(request))  # `redirect` would take "foo" for the name of a view


def _next(request: HttpRequest) -> str:
    """The address to return to: `next` if it is in this shop, else the cart."""
    target = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if ours else reverse("orders:cart")


@require_http_methods(FORM)
def checkout_page(request: HttpRequest) -> HttpResponse:
    """The checkout form, and the order that it places."""
    cart = cart_of(request)
    if request.method == "POST" and cart:
        return _buy(request, cart)
    if not cart or not cart.items.exists():
        return _nothing_to_buy(request)
    known = {"key": cart.key, **addresses.of(request)}
    if request.GET.get("country") in delivery.ZONES:
        known["country"] = request.GET["country"]
    return _checkout_form(request, cart, CheckoutForm(initial=known))


def _nothing_to_buy(request: HttpRequest) -> HttpResponse:
    messages.info(request, "Your cart is empty.")
    return redirect("orders:cart")


def _checkout_form(
    request: HttpRequest, cart: Cart, form: CheckoutForm, error: str = "", status: int = 200
) -> HttpResponse:
    context = _cart_context(cart, str(form["country"].value())) | {"form": form, "error": error}
    return render(request, "orders/checkout.html", context, status=status)


def _again(request: HttpRequest, cart: Cart, error: str, status: int) -> HttpResponse:
    """The form again, with the typed values and a new key: the next try is another order."""
    cart.renew_key()
    form = CheckoutForm(request.POST.dict() | {"key": cart.key})
    return _checkout_form(request, cart, form, error, status)


def _buy(request: HttpRequest, cart: Cart) -> HttpResponse:
    form, key = CheckoutForm(request.POST), request.POST.get("key", "")
    offer = Offer.of(cart, request.POST.get("country", ""))
    # Looked for after the cart was read: a first click may have emptied it in between.
    its = Q(cart=cart) | Q(cart__merged_into=cart)
    if last := Order.objects.filter(its, idempotency_key=key).first():
        return redirect(last)
    if not offer.lines:
        return _nothing_to_buy(request)
    if not form.is_valid():
        return _checkout_form(request, cart, form, "Check the highlighted fields.", 422)
    # A key is valid only with its own cart: elsewhere it would open another guest's order.
    if key != cart.key:
        return _again(request, cart, EXPIRED, 409)
    try:
        changes = offer.changes(request.POST.get("shown", ""))
    except BadSignature:
        return _again(request, cart, EXPIRED, 409)
    if changes:
        then = "Check the total and place it again." if offer.buyable else "Edit your cart."
        return _checkout_form(request, cart, form, " ".join([CHANGED, then, *changes]), 409)
    return _place(request, cart, offer, form)


def _place(request: HttpRequest, cart: Cart, offer: Offer, form: CheckoutForm) -> HttpResponse:
    try:
        if form.cleaned_data["save"]:
            addresses.save(request, form)
        customer = checkout.Customer(**form.customer)
        order = limited.place(request, customer, offer.wanted, form.cleaned_data["card"], cart.key, request.user.pk)
    except refusals.KeyReused:
        return _again(request, cart, "This form was already sent. Check your order and place it again.", 409)
    except refusals.Refused as error:
        return _checkout_form(request, cart, form, str(error), 409)
    except LimitReached as error:
        response = _checkout_form(request, cart, form, str(error), 429)
        response["Retry-After"] = str(error.seconds)
        return response
    return _placed(request, cart, order)


def _placed(request: HttpRequest, cart: Cart, order: Order) -> HttpResponse:
    if order.status == Status.DECLINED:
        return _again(request, cart, "Your card was declined. Nothing was charged. Try another card.", 402)
    if order.status == Status.CANCELLED and order.paid_at is None:
        away = "Payments are temporarily unavailable. Nothing was charged. Try again in a minute."
        return _again(request, cart, away, 402)
    try:
        checkout.take_from_cart(order, cart)
    except Error:
        # The order is placed, and its page is the answer. The cart stays full, but its form has this order's key.
        log.warning("the cart of order %s could not be emptied", order.number, exc_info=True)
        db_errors.close_connection()
    return redirect(order)
