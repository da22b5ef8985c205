"""A visitor's cart, of their account or by the id in a guest's session, and what a page showed of it.

The cart of an account follows the person over all devices. Signing in moves the guest's pieces into it; signing out
leaves a session without a cart.

The checkout's form carries what its page showed. The order is these lines at these prices, or it is refused with the
difference: another window may have changed the cart, staff a price, and the customer the country.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.core import signing
from django.dispatch import receiver
from django.http import HttpRequest

from backroom.inbound import limits
from backroom.inbound.client import client_of
from catalog.models import Product
from catalog.templatetags.money import money
from orders.cart import Cart, CartItem
from orders.ordering import delivery
from orders.ordering.basket import Wanted

KEY = "cart_id"


def cart_of(request: HttpRequest) -> Cart | None:
    """The visitor's cart; None before anything was put in."""
    if request.user.is_authenticated:
        return _of_account(request, request.user)
    return Cart.objects.filter(pk=request.session[KEY]).first() if KEY in request.session else None


def open_cart(request: HttpRequest) -> Cart:
    """The visitor's cart, a new one if there is none. It makes a guest's session last longer. Raises LimitReached."""
    cart = cart_of(request)
    if request.user.is_authenticated:
        return cart or Cart.objects.get_or_create(user=request.user)[0]
    if cart is None:
        limits.take(request, carts_by_client=client_of(request))
        cart = Cart.objects.create()
    request.session[KEY] = cart.pk
    return cart


def _of_account(request: HttpRequest, user: User) -> Cart | None:
    """The account's cart, with the pieces that the visitor put in as a guest."""
    guest = request.session.get(KEY)
    if guest is None:
        return Cart.objects.filter(user=user).first()
    cart, _ = Cart.objects.get_or_create(user=user)
    for name in cart.merge(guest):
        messages.warning(request, f"{name}: your cart does not hold all of them.", fail_silently=True)
    del request.session[KEY]  # last: a merge that the database refuses is made by the next request
    return cart


@receiver(user_logged_in, dispatch_uid="orders.storefront.cart")
def bring_along(request: HttpRequest, user: User, **_: Any) -> None:
    _of_account(request, user)


def cart_count(request: HttpRequest) -> dict[str, Any]:
    """A context processor: the number of pieces in the cart, read by the pages that show it."""

    def count() -> int:
        cart = cart_of(request) if hasattr(request, "user") else None
        return cart.pieces if cart else 0

    return {"cart_count": cache(count)}


@dataclass(frozen=True)
class Offer:
    """What a customer buys: lines and their delivery."""

    lines: list[CartItem]
    products: Decimal
    delivery: delivery.Delivery

    @classmethod
    def of(cls, cart: Cart, country: str) -> "Offer":
        """An unknown country counts as the default one; the form refuses it."""
        lines = cart.lines()
        products = sum((line.total for line in lines if not line.too_many), Decimal(0))
        known = country if country in delivery.ZONES else delivery.DEFAULT
        return cls(lines, products, delivery.quote(known, products))

    @property
    def total(self) -> Decimal:
        return self.products + self.delivery.cost

    @property
    def buyable(self) -> bool:
        return not any(line.too_many for line in self.lines)

    @property
    def wanted(self) -> list[Wanted]:
        """The lines as the checkout takes them."""
        return [Wanted(line.product.slug, line.quantity, line.product.price) for line in self.lines]

    @property
    def shown(self) -> str:
        """The offer as a signed field of its form."""
        lines = {line.product.slug: [line.quantity, str(line.product.price)] for line in self.lines}
        return signing.dumps([lines, str(self.delivery.cost)], salt=KEY, compress=True)

    def changes(self, shown: str) -> list[str]:
        """Sentences on how the offer differs from what a form has shown. Raises BadSignature for another text."""
        before, cost = signing.loads(shown, salt=KEY)
        found = []
        for line in self.lines:
            name, price = line.product.name, line.product.price
            quantity, old = before.pop(line.product.slug, (0, str(price)))
            if line.too_many:
                found.append(f"{name}: {line.product.left}.")
            elif not quantity:
                found.append(f"{name}: new in your cart.")
            elif quantity != line.quantity:
                found.append(f"{name}: the quantity is now {line.quantity}, it was {quantity}.")
            if Decimal(old) != price:
                found.append(f"{name}: the price is now {money(price)}, it was {money(Decimal(old))}.")
        gone = Product.objects.filter(slug__in=before).values_list("name", flat=True)
        found += [f"{name}: no longer in your cart." for name in gone]
        if Decimal(cost) != (now := self.delivery.cost):
            to = self.delivery.country_name
            found.append(f"Delivery to {to} costs {money(now)}; the page showed {money(Decimal(cost))}.")
        return found
