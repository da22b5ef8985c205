"""The pages of the cart, the checkout and the order. A guest's order is opened by its token; a wrong one is a 404."""

import logging
import secrets

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
from orders.models import Invoice, Order, Status
from orders.ordering import checkout
from orders.storefront import timeline
from orders.storefront.cart import Cart, CartFull
from orders.storefront.forms import CartForm, CheckoutForm, UpdateForm

log = logging.getLogger(__name__)

private = cache_control(private=True, no_store=True)


@require_safe
def cart(request: HttpRequest) -> HttpResponse:
    """What is in the cart. Prices that changed since are shown once, and count as seen from then on."""
    return render(request, "orders/cart.html", _cart_context(request))


def _cart_context(request: HttpRequest) -> dict:
    cart = Cart(request)
    before = len(cart.items)
    lines = cart.lines()
    cart.accept_prices(lines)
    if len(cart.items) < before:
        messages.warning(request, "Something in your cart is not sold any more; it was taken out.")
    return {"lines": lines, "total": sum(line.total for line in lines), "buyable": not any(x.too_many for x in lines)}


@require_POST
def cart_add(request: HttpRequest) -> HttpResponse:
    """Put a product in the cart."""
    return _change_cart(request, CartForm(request.POST), Cart.add)


@require_POST
def cart_update(request: HttpRequest) -> HttpResponse:
    """Change how many of a product are in the cart; 0 takes it out."""
    return _change_cart(request, UpdateForm(request.POST), Cart.set)


def _change_cart(request: HttpRequest, form: CartForm, change) -> HttpResponse:
    if not form.is_valid() and "product" in form.errors:
        raise Http404("There is no such product.")
    product = get_object_or_404(Product, slug=form.cleaned_data["product"], active=True)
    if form.errors:
        messages.error(request, str(form.errors["quantity"][0]))
        return HttpResponseRedirect(_next(request))  # `redirect` would take "foo" for the name of a view
    quantity = form.cleaned_data["quantity"]
    try:
        change(Cart(request), product, quantity)
    except CartFull as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{product.name}: {'in your cart' if quantity else 'taken out of your cart'}.")
    return HttpResponseRedirect(_next(request))  # `redirect` would take "foo" for the name of a view


def _next(request: HttpRequest) -> str:
    """Where to go afterwards: `next` if it leads to this shop, else the cart."""
    target = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if ours else reverse("orders:cart")


@require_http_methods(["GET", "HEAD", "POST"])
@private
def checkout_page(request: HttpRequest) -> HttpResponse:
    """The form, and what becomes of it when it is sent."""
    if request.method == "POST":
        return _buy(request)
    if not Cart(request).items:
        messages.info(request, "Your cart is empty.")
        return redirect("orders:cart")
    return _checkout_form(request, CheckoutForm(initial={"key": _form_key(request)}))


def _form_key(request: HttpRequest, new: bool = False) -> str:
    """The idempotency key of this visitor's next order: the same in every window, until there is an order."""
    if new or "checkout_key" not in request.session:
        request.session["checkout_key"] = secrets.token_urlsafe(24)
    return request.session["checkout_key"]


def _checkout_form(request: HttpRequest, form: CheckoutForm, error: str = "", status: int = 200) -> HttpResponse:
    context = _cart_context(request) | {"form": form, "error": error}
    return render(request, "orders/checkout.html", context, status=status)


def _again(request: HttpRequest, error: str, status: int) -> HttpResponse:
    """The form once more, with what was typed and a new key: the next try is another order."""
    form = CheckoutForm(request.POST.dict() | {"key": _form_key(request, new=True)})
    return _checkout_form(request, form, error, status)


def _buy(request: HttpRequest) -> HttpResponse:
    form = CheckoutForm(request.POST)
    key = request.POST.get("key", "")
    last = request.session.get("last_order", {})
    if key and key == last.get("key"):  # the form of an order that was placed already, sent once more
        return redirect(get_object_or_404(Order, number=last["number"]))
    cart = Cart(request)
    if not cart.items:
        messages.info(request, "Your cart is empty.")
        return redirect("orders:cart")
    if not form.is_valid():
        return _checkout_form(request, form, "Please look at the fields that are marked.", 422)
    # A key counts only in the session that got it: it would open another guest's order.
    if key != request.session.get("checkout_key"):
        return _again(request, "This form was out of date. Please check your order and send it again.", 409)
    try:
        customer = checkout.Customer(**form.customer)
        order = checkout.place(customer, cart.wanted(), form.cleaned_data["card"], key)
    except checkout.KeyReused:
        return _again(request, "This form was sent before. Please check your order and send it again.", 409)
    except checkout.Refused as error:
        return _checkout_form(request, form, str(error), 409)
    if order.status == Status.DECLINED:
        return _again(request, "The card was declined, and nothing was charged. Try another one.", 402)
    if order.status == Status.CANCELLED and order.paid_at is None:
        away = "Our payment company takes no payments at the moment, and nothing was charged. Try again in a minute."
        return _again(request, away, 402)  # with a 5xx Django would not keep the new key
    return _bought(request, cart, order, key)


def _bought(request: HttpRequest, cart: Cart, order: Order, key: str) -> HttpResponse:
    cart.clear()
    request.session["last_order"] = {"key": key, "number": order.number}
    request.session.pop("checkout_key", None)
    try:
        request.session.save()
    except (Error, UpdateError):
        # The order stands, and its page is the answer. The cart stays full, but its form has this order's key.
        log.warning("the cart of order %s could not be emptied", order.number)
    request.session.modified = False  # or it would be saved once more, and fail again, behind this view
    return redirect(order)


def _opened(request: HttpRequest, number: int) -> Order:
    """The order, if the token in the address opens it. Raises Http404: strangers don't learn which numbers exist."""
    order = Order.objects.filter(number=number).first()
    if order is None or not order.admits(request.GET.get("token", "")):
        raise Http404("There is no such order.")
    return order


def _order_context(order: Order) -> dict:
    rows = timeline.rows_of(order)
    return {
        "order": order,
        "rows": rows,
        "poll_every": timeline.poll_every(order, rows),
        "invoice": Invoice.objects.filter(order=order).defer("pdf").first(),
    }


@require_safe
@private
def order(request: HttpRequest, number: int) -> HttpResponse:
    """The confirmation, and under it the timeline of the back room."""
    opened = _opened(request, number)
    return render(request, "orders/order.html", _order_context(opened) | {"lines": opened.lines.all()})


@require_safe
@private
def order_timeline(request: HttpRequest, number: int) -> HttpResponse:
    """The part of the order's page that changes while one looks at it."""
    return render(request, "orders/_timeline.html", _order_context(_opened(request, number)))


@require_safe
@cache_control(private=True, max_age=0)
def invoice(request: HttpRequest, number: int) -> HttpResponse:
    """The invoice's PDF, once it is there."""
    found = get_object_or_404(Invoice, order=_opened(request, number))
    return HttpResponse(
        bytes(found.pdf),
        content_type="application/pdf",
        headers={
            "Content-Disposition": f'attachment; filename="invoice-{number}.pdf"',
            "X-Content-Type-Options": "nosniff",
        },
    )
