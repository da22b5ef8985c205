"""What this room holds about a person: accounts/personal_data.py says how it is exported and erased."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet

from backroom import Call
from notifications.endpoints import transitions
from notifications.endpoints.models import Endpoint, Event
from notifications.models import Bounce, Contact, Notice, PushSubscription


def export(address: str, user: User | None) -> dict[str, Any] | None:
    """How the person and their systems are reached, with what, and whether mail to the address bounces."""
    parts: dict[str, QuerySet[Any, Any]] = {
        "contact": Contact.objects.filter(user=user).values("channel", "phone", "time_zone"),
        "browsers": PushSubscription.objects.filter(user=user).order_by("id").values("endpoint", "created_at"),
        "notices": Notice.objects.filter(user=user).order_by("id").values("kind", "about", "channel", "created_at"),
        "endpoints": Endpoint.objects.filter(user=user).values("url", "events", "state", "created_at"),
        "events": Event.objects.filter(user=user).order_by("at").values("type", "about", "data", "at"),
    }
    bounces = Bounce.objects.filter(address=address.lower()).values("reason", "created_at")
    found = {name: list(rows) for name, rows in parts.items()} if user else {}
    found["bounces"] = list(bounces)
    return found if any(found.values()) else None


def erase(address: str, user: User | None) -> list[Call] | None:
    """All goes at once: nothing reaches the person and their systems any more, but mail about an order. A notice holds
    no address and no text, and stays without its user."""
    gone, _ = Bounce.objects.filter(address=address.lower()).delete()
    if user:
        gone += transitions.delete(Endpoint.objects.filter(user=user))
        for model in (Contact, PushSubscription, Event):
            gone += model._default_manager.filter(user=user).delete()[0]
    return [] if gone else None
