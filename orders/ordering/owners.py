"""Whose an order is.

An order that is placed while signed in is the account's, whichever address its mails go to. A guest's order joins an
account in the moment in which that verifies the order's address. One that a guest places later does not join by itself,
since a stranger can type any address: its mail leads to its page, and there the account can add it. No answer to a
guest depends on whether an account has the address.

An account's order stays with it after a change of address, until it or its customer is erased. Its mails, its link and
its points follow the account to the new address, unless it was bought with another address than the old one. The limit:
a checkout that is open during the change has the old address in its form.
"""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_changed, email_confirmed
from django.contrib.auth.models import User
from django.dispatch import receiver

from accounts import customers
from orders.models import Order
from orders.ordering import correction
from orders.ordering.refusals import Closed


def lock(user: int) -> None:
    """Call it first in the transaction that places an order. Raises Closed for an account that is being deleted.

    Race: it is deleted at this moment. Either this waits and then finds it closed, or the deletion waits for the order
    and erases it, too.
    """
    if not User.objects.select_for_update(no_key=True).filter(pk=user, is_active=True).values_list("pk").first():
        raise Closed("Your account is closed.")


def join(user: int, address: str) -> int:
    """Give an account the guests' orders of an address that it has just verified, in any case. Returns how many."""
    return Order.objects.filter(email__iexact=address, user=None, erased_at=None).update(user=user)


def claimable(order: Order, user: int | None) -> bool:
    """Whether the account may add this guest's order: it has verified its address."""
    if user is None or order.user_id is not None or order.erased_at is not None:
        return False
    owner = customers.address_of(order.email)
    return owner is not None and owner.verified and owner.user_id == user


def claim(order: Order, user: int | None) -> bool:
    """Add a guest's order to the account; False if it may not."""
    return claimable(order, user) and bool(Order.objects.filter(pk=order.pk, user=None).update(user=user))


@receiver(email_confirmed, dispatch_uid="orders.ordering.owners")
def join_verified(email_address: EmailAddress, **_: Any) -> None:
    """In the transaction that verifies the address (accounts/urls.py): one UPDATE by an index, and the history is right
    on the next page."""
    join(email_address.user_id, email_address.email)


@receiver(email_changed, dispatch_uid="orders.ordering.owners.follow")
def follow_account(
    user: User, from_email_address: EmailAddress | None, to_email_address: EmailAddress, **_: Any
) -> None:
    """In the same transaction: who reads the old mailbox reads no more of the account's orders."""
    if from_email_address:
        correction.follow(user.pk, from_email_address.email, to_email_address.email)
