"""The registry of what is held about a person. Each room that holds something registers a holder, in `apps.ready()`.

A person is an address and, if an account has verified it, a user. Holders are named by dotted paths, and imported once
a person asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.utils.module_loading import import_string

from backroom import Call


@dataclass(frozen=True)
class Holder:
    """What one room holds.

    `export(address, user)` returns parts of the document, as values for JSON by their names; None if it holds nothing.

    `erase(address, user)` runs in a transaction. It deletes at once what no job needs, and returns the calls, each with
    a key, of the jobs that erase the rest; None if it holds nothing. A repeated job changes nothing. Rows that the
    user's deletion takes along (on_delete=CASCADE) are left to that.
    """

    export: str
    erase: str
    noun: str = ""  # what one of its jobs erases, as people call it: "order" for the key erase:1001


HOLDERS: dict[str, Holder] = {}


def register(name: str, export: str, erase: str, noun: str = "") -> None:
    """Add a room's holder."""
    HOLDERS[name] = Holder(export, erase, noun)


def user_of(address: str) -> User | None:
    """The account that has verified this address, in any case."""
    found = EmailAddress.objects.filter(email__iexact=address, verified=True).select_related("user").first()
    return found and found.user


def export(address: str, user: User | None) -> dict[str, Any] | None:
    """All that is held about this person, as values for JSON; None if there is nothing."""
    found: dict[str, Any] = {}
    for holder in HOLDERS.values():
        found |= import_string(holder.export)(address, user) or {}
    return {"email": address} | found if found else None


def erasures(address: str, user: User | None) -> Iterator[tuple[Holder, list[Call]]]:
    """Erase what can be at once, in the caller's transaction; yield the holders that held something, each with the
    calls that erase the rest."""
    for holder in HOLDERS.values():
        calls = import_string(holder.erase)(address, user)
        if calls is not None:
            yield holder, calls
