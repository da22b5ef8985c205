"""Maintenance of the project itself."""

from django.core.management import call_command

from backroom import task


@task(queue="bulk", name="shop.clear_sessions")
def clear_sessions() -> None:
    """Delete expired sessions and the abandoned carts in them."""
    call_command("clearsessions")
