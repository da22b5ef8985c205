"""A visitor's cart, and the key of the checkout's form, through Django's test client."""

import re
from typing import Any

from django.test import Client

from orders.storefront import cart


def put_in_cart(client: Client, quantity: Any = 1, slug: str = "apples", **more: Any):
    return client.post("/cart/add/", {"product": slug, "quantity": quantity, **more})


def in_cart(client: Client) -> dict[str, int]:
    return {slug: item["quantity"] for slug, item in client.session.get(cart.KEY, {}).items()}


def key_in(response) -> str:
    return re.search(r'name="key" value="([^"]+)"', response.content.decode())[1]
