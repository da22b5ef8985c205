"""The registry of what is held about a person. Each room that holds something registers a holder, in `apps.ready()`.

A person is an address and, if an account has verified it, a user. Holders are named by dotted paths, and imported once
a person asks: this module needs no models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from backroom import Call

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True)
class Holder:
    """What one room holds.

    `export(address, user)` returns parts of the document, as values for JSON by their names; None if it holds nothing.

    `erase(address, user)` runs in a transaction. It deletes at once what no job needs, and returns the calls, each with
    a key, of the jobs that erase the rest; None if it holds nothing. A repeated job changes nothing. Rows that the
    user's deletion takes along (on_delete=CASCADE) are left to that, unless the shop would write to the person by them
    until then.
    """

    export: str
    erase: str
    kind: str = ""  # the first part of the keys of its jobs, "erase" of erase:1001,
    noun: str = ""  # and what one of them erases, as people call it: "order"
    left: str = ""  # what the customer reads of one that has not ended: `left("1001")` is a sentence


HOLDERS: dict[str, Holder] = {}


def register(name: str, export: str, erase: str, kind: str = "", noun: str = "", left: str = "") -> None:
    """Add a room's holder."""
    HOLDERS[name] = Holder(export, erase, kind, noun, left)


def export(address: str, user: "User | None") -> dict[str, Any] | None:
    """All that is held about this person, as values for JSON; None if there is nothing."""
    found: dict[str, Any] = {}
    for holder in HOLDERS.values():
        found |= import_string(holder.export)(address, user) or {}
    return {"email": address} | found if found else None


def erase(address: str, user: "User | None") -> Iterator[tuple[Holder, list[Call]]]:
    """Erase what can be at once, in the caller's transaction; yield the holders that held something, each with the
    calls that erase the rest."""
    for holder in HOLDERS.values():
        calls = import_string(holder.erase)(address, user)
        if calls is not None:
            yield holder, calls
