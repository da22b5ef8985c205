"""Errors without the rows that PostgreSQL quotes in them. Its DETAIL may hold a customer's data, and the ledger, the
logs and Flower show errors."""

import re

import psycopg
from django.db import DatabaseError

DETAIL = re.compile(r"^DETAIL:.*?(?=^[A-Z]+:|^\S|\Z)", re.MULTILINE | re.DOTALL)


def redact(text: str) -> str:
    """The text without DETAIL, and without characters that PostgreSQL can't store."""
    return DETAIL.sub("", text).replace("\x00", "").encode(errors="replace").decode()


def redact_error(error: BaseException | None) -> None:
    """Redact an error and its causes in place: Celery shows them in its log and in Flower."""
    while error:
        if isinstance(error, DatabaseError | psycopg.Error):
            error.args = tuple(redact(part) if isinstance(part, str) else part for part in error.args)
        error = error.__cause__ or error.__context__
