"""Limits on attempts to sign in, for every form that calls `authenticate`: the admin's, and one of customers."""

from typing import Any

from django.http import HttpRequest

from backroom.inbound import limits
from backroom.inbound.client import client_of


class Limits:
    """The first authentication backend: it knows no user, so Django asks the next."""

    def authenticate(self, request: HttpRequest | None, username: str | None = None, **credentials: Any) -> None:
        """Raises LimitReached before the password is read. Counted are all attempts: of many at the same moment, none
        can guess more. The limit: a stranger who knows a name can keep its owner out while they go on."""
        if request:
            account = (username or credentials.get("email") or "").casefold()
            limits.take(request, sign_ins_by_client=client_of(request), sign_ins_by_account=account)
