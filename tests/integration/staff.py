"""Clients of staff and customers, and the text of a page."""

import re

from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from backroom.ops import roles


def operator() -> Client:
    """An operator, who may act."""
    return _client("operator", roles.OPERATORS)


def reader() -> Client:
    """A reader, who may not act."""
    return _client("reader", roles.READERS)


def staff(*permissions: str) -> Client:
    """A staff member with these permissions of the catalog."""
    user, _ = User.objects.get_or_create(username="-".join(permissions) or "nothing", defaults={"is_staff": True})
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions, content_type__app_label="catalog"))
    client = Client()
    client.force_login(user)
    return client


def customer() -> Client:
    """A customer, who is signed in and no staff."""
    return _client("customer")


def _client(name: str, *groups: str) -> Client:
    user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": bool(groups)})
    user.groups.set(Group.objects.filter(name__in=groups))
    client = Client()
    client.force_login(user)
    return client


def text(response) -> str:
    """A page without its tags."""
    assert response.status_code == 200, response
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))
