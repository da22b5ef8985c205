"""A visitor's cart, and the hidden fields of the checkout's form, through Django's test client."""

import re
from typing import Any

from django.test import Client

from orders.cart import CartItem
from orders.storefront import cart


def put_in_cart(client: Client, quantity: Any = 1, slug: str = "apples", **more: Any):
    return client.post("/cart/add/", {"product": slug, "quantity": quantity, **more})


def in_cart(client: Client) -> dict[str, int]:
    items = CartItem.objects.filter(cart=client.session.get(cart.KEY))
    return dict(items.values_list("product__slug", "quantity"))


def hidden_in(response) -> dict[str, str]:
    """What the form carries: its key, and what the page showed."""
    return dict(re.findall(r'name="(key|shown)" value="([^"]+)"', response.content.decode()))
