"""Errors as the ledger, the logs and Flower show them: short, without the passwords of addresses, and without the rows
that PostgreSQL quotes in them. Its DETAIL may hold a customer's data."""

import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from django.db import DatabaseError

from backroom.ledger.limits import LIMIT, LINE, clipped

PARTS = 50  # of an error that is shown as it is: the texts of each name all behind it, so time grows with the square
PLAIN = re.compile(r"[\w .-]*")  # most texts: a quotation, a password and an odd character have others
BREAK = re.compile(r"(\n|\\+n)")  # also as repr() and JSON write it
QUOTING = re.compile(r"^[\s|]*(?:CONTEXT|QUERY|LINE \d+):|\bDETAIL:")
OWN = re.compile(r"^[\s|]*(?:HINT:|(?:Exception Group )?Traceback \(|The above exception|During handling of|\+[-+ ])")
PASSWORD = re.compile(r"(://[^\s/?#:@'\"]*:)[^\s/?#'\"]*(?=@)|([?&]password=)[^\s&#'\"]+")


def without_passwords(value: Any) -> Any:
    """A text, or a list or mapping of texts, in which addresses such as redis://user:password@host hide theirs."""
    if isinstance(value, str):
        return PASSWORD.sub(r"\1\2********", value)
    if isinstance(value, Mapping):
        return {name: without_passwords(each) for name, each in value.items()}
    return [without_passwords(each) for each in value] if isinstance(value, list | tuple) else value


def redact(text: str, limit: int = LIMIT) -> str:
    """The text, clipped, without what PostgreSQL quotes, without passwords, and without characters that it can't store.

    A quoted value may have several lines. So all is cut, until a line that a traceback or PostgreSQL writes itself.
    """
    if len(text) <= limit and PLAIN.fullmatch(text):
        return text
    kept: list[str] = []
    cut = ""  # the kind of line break before the quotation
    pieces = BREAK.split(text) if "DETAIL:" in text or re.search(r"CONTEXT:|QUERY:|LINE \d+:", text) else [text]
    for before, line in zip(["", *pieces[1::2]], pieces[::2], strict=True):
        if OWN.match(line) or (before == "\n" and cut.startswith("\\")):
            cut = ""
        if cut:
            continue
        kept.append(before)
        if found := QUOTING.search(line):
            cut, line = before or "\n", line[: found.start()]
        kept.append(line)
    return clipped(without_passwords("".join(kept)).replace("\x00", "").encode(errors="replace").decode(), limit)


class Cleaned(NamedTuple):
    """An error as it may be shown."""

    summary: str  # its type and message, at most LINE characters
    traceback: str  # with the summary at most LIMIT
    error: Exception  # for Celery: the error itself, or one in its place


def clean(error: Exception) -> Cleaned:
    """Clean an error with all its parts: causes, contexts, groups and notes. The text of database errors among them is
    cut in place, as servers write DETAIL in many languages."""
    parts = _parts(error)
    for part in parts:
        if isinstance(part, DatabaseError | psycopg.Error):
            part.args = tuple(arg.partition("\n")[0] if isinstance(arg, str) else arg for arg in part.args)
    summary, written = redact(_summary(error), LINE), redact(_traceback(error), LIMIT - LINE - 1)
    return Cleaned(summary, written, error if _showable(error, parts) else RuntimeError(summary))


def _parts(error: BaseException) -> list[BaseException]:
    """The error and its parts, each once: causes may form a circle."""
    found: dict[int, BaseException] = {}
    ahead: list[BaseException | None] = [error]
    while ahead:
        if (part := ahead.pop()) is not None and id(part) not in found:
            found[id(part)] = part
            ahead += [part.__cause__, part.__context__]
            ahead += part.exceptions if isinstance(part, BaseExceptionGroup) else ()
    return list(found.values())


def _summary(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as raised:
        return f"{type(error).__name__} (its text can't be read: {type(raised).__name__})"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as raised:  # as of groups in groups in groups
        return f"its traceback can't be written: {type(raised).__name__}"


def _showable(error: BaseException, parts: Sequence[BaseException]) -> bool:
    """Whether all texts that Celery shows are clean and short. A MemoryError is not: Celery ends the worker for it."""
    if isinstance(error, MemoryError) or len(parts) > PARTS:
        return False
    try:
        shown = [f"{error!r}\n{error}", *(line for part in parts for line in traceback.format_exception_only(part))]
    except Exception:
        return False
    text = "\n".join(shown)
    return redact(text) == text
