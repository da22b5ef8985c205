"""An order's events for the systems of the person whose account ordered: notifications/endpoints."""

from notifications.endpoints.events import emit
from orders.models import Order


def announce(number: int, change: str) -> None:
    """Tell the endpoints of the order's account, if it has any, in the transaction of the change. Nothing for a guest's
    order, an erased customer's, or an account that is locked or about to be deleted."""
    reached = {"erased_at": None, "user__is_active": True, "user__endpoints__isnull": False}
    owned = Order.objects.filter(number=number, **reached)
    for user, status in owned.values_list("user_id", "status")[:1]:
        emit(user, f"order.{change}", str(number), {"order": str(number), "status": status})
