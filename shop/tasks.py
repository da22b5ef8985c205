"""Maintenance of the project itself."""

from datetime import timedelta

from django.conf import settings
from django.core.management import call_command
from django.db.models.functions import Now

from backroom import task
from orders.cart import Cart


@task(queue="bulk", name="shop.clear_sessions")
def clear_sessions() -> None:
    """Delete expired sessions, and the carts that did not change for as long."""
    call_command("clearsessions")
    Cart.objects.filter(changed_at__lt=Now() - timedelta(seconds=settings.SESSION_COOKIE_AGE)).delete()
