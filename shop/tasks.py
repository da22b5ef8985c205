"""Maintenance of the project itself."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db.models.functions import Now

from backroom import enqueue_all, task
from orders.cart import Cart
from shop.clean_up import SWEEPS


@task(queue="bulk", name="shop.clear_sessions")
def clear_sessions() -> None:
    """Delete expired sessions, and the guests' carts that did not change for as long."""
    call_command("clearsessions")
    old = Cart.objects.filter(user=None, changed_at__lt=Now() - timedelta(seconds=settings.SESSION_COOKIE_AGE))
    old.delete()


@task(queue="bulk", name="shop.clean_up")
def clean_up(slot_time: str) -> None:
    """Enqueue the sweeps of the night."""
    enqueue_all(*(sweep.call(kind, slot_time[:10]) for kind in SWEEPS))


@task(queue="bulk", name="shop.sweep", key="sweep:{kind}-{day}")
def sweep(kind: str, day: str) -> Any:
    """Delete what is left of one kind."""
    return SWEEPS[kind]()
