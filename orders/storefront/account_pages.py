"""The pages of an account about its orders: the history, ordering again, a guest's order to add, the saved address."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import customer_required
from accounts.models import Customer
from orders.models import Order
from orders.ordering import owners
from orders.ordering.again import order_again
from orders.storefront import addresses
from orders.storefront.cart import open_cart
from orders.storefront.forms import AddressForm

PAGE = 20
FORM = ["GET", "HEAD", "POST"]


@require_safe
@customer_required
def history(request: HttpRequest) -> HttpResponse:
    """The account's orders, the newest first."""
    orders = Order.objects.filter(user=request.user.pk).order_by("-created_at", "-number").prefetch_related("lines")
    page = Paginator(orders, PAGE).get_page(request.GET.get("page"))
    return render(request, "orders/history.html", {"page": page})


@require_http_methods(FORM)
@customer_required
def again(request: HttpRequest, number: int) -> HttpResponse:
    """Put the order's products into the cart."""
    if request.method != "POST":  # a browser repeats the address of an error page by GET
        return redirect("orders:history")
    order = get_object_or_404(Order, number=number, user=request.user.pk)
    pieces, sentences = order_again(order, open_cart(request))
    if pieces:
        messages.success(request, f"What we have of order {number} is in your cart.")
    if sentences:
        messages.warning(request, " ".join(sentences))
    return redirect("orders:cart")


@require_http_methods(FORM)
@customer_required
def claim(request: HttpRequest, number: int) -> HttpResponse:
    """Add a guest's order, opened by its link, to the account that has verified its address."""
    if request.method != "POST":
        return redirect("orders:history")
    order = Order.objects.filter(number=number).first()
    if order is None or not order.admits(request.GET.get("token", "")) or not owners.claim(order, request.user.pk):
        raise Http404("No order has this number and token, or it is not this account's to add.")
    messages.success(request, f"Order {number} is now in your account.")
    return redirect("orders:history")


@require_http_methods(FORM)
@customer_required
def address(request: HttpRequest) -> HttpResponse:
    """The saved delivery address: changed, or removed."""
    if "remove" in request.POST:
        Customer.objects.filter(user=request.user.pk).delete()
        messages.success(request, "Your address is removed.")
        return redirect("orders:address")
    form = AddressForm(request.POST) if request.method == "POST" else AddressForm(initial=addresses.of(request))
    if form.is_bound and form.is_valid():
        addresses.save(request, form)
        messages.success(request, "Your address is saved.")
        return redirect("orders:address")
    known = Customer.objects.filter(user=request.user.pk).exists()
    context = {"form": form, "known": known}
    return render(request, "orders/address.html", context, status=422 if form.is_bound else 200)
