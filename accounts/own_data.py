"""What this room holds about a person: personal_data.py says how it is exported and erased."""

from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User

from accounts.models import Customer
from backroom import Call

ADDRESS = ("name", "address", "city", "postcode", "country")


def export(address: str, user: User | None) -> dict[str, Any] | None:
    if user is None:
        return None
    return {
        "account": {"joined": user.date_joined, "last_sign_in": user.last_login},
        "emails": list(EmailAddress.objects.filter(user=user).order_by("id").values("email", "verified", "primary")),
        "saved_addresses": list(Customer.objects.filter(user=user).values(*ADDRESS)),
    }


def erase(address: str, user: User | None) -> list[Call] | None:
    """Nothing here: all rows go with the user, at the end (erasure.py)."""
    return None
