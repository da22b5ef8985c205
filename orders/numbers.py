"""The numbers of orders: random, so that they don't tell how much the shop sells.

Eight digits can be read out on the phone. An older release counts from 1001, and its numbers stay.
"""

import secrets
from collections.abc import Callable
from typing import TypeVar

from django.db import IntegrityError

from backroom.ledger import db_errors

T = TypeVar("T")

NUMBERS = range(10_000_000, 100_000_000)
TRIES = 20  # with a million orders, one number in ninety is taken


def new_number() -> int:
    return secrets.choice(NUMBERS)


def retry_if_taken(transaction: Callable[..., T], *arguments: object) -> T:
    """Run a whole transaction that inserts an order, and again if another order has the drawn number."""
    for _ in range(TRIES - 1):
        try:
            return transaction(*arguments)
        except IntegrityError as error:
            if "orders_order_pkey" not in db_errors.summary(error):
                raise
    return transaction(*arguments)
