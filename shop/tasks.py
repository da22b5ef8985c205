"""Maintenance of the project itself."""

from datetime import timedelta

from django.conf import settings
from django.core.management import call_command
from django.db.models.functions import Now

from backroom import task
from orders.cart import Cart


@task(queue="bulk", name="shop.clear_sessions")
def clear_sessions() -> None:
    """Delete expired sessions, and the guests' carts that did not change for as long."""
    call_command("clearsessions")
    old = Cart.objects.filter(user=None, changed_at__lt=Now() - timedelta(seconds=settings.SESSION_COOKIE_AGE))
    old.delete()
