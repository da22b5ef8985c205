"""How customers sign in: by their address. Staff sign in by their username, with Django's backend, at /admin/."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest

from accounts import customers


class CustomerBackend(ModelBackend):
    """The password of the account that has this address. It hashes one password whether there is one or not."""

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, email: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        if not email or not password:
            return None
        address = customers.address_of(email)
        if address is None:
            User().set_password(password)
            return None
        return address.user if address.user.check_password(password) else None
