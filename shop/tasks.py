"""Chores of the project itself."""

from django.core.management import call_command

from backroom import task


@task(queue="bulk", name="shop.clear_sessions")
def clear_sessions() -> None:
    """Delete expired sessions, and with them the carts that nobody came back for."""
    call_command("clearsessions")
