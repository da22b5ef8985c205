"""Which account an address belongs to."""

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User


def user_of(address: str) -> User | None:
    """The account that has verified this address, in any case."""
    found = EmailAddress.objects.filter(email__iexact=address, verified=True).select_related("user").first()
    return found and found.user
