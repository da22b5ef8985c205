"""Errors without the rows that PostgreSQL quotes in them: its DETAIL may hold a customer's data, and errors are kept in
the ledger and shown in logs and in Flower."""

import re

import psycopg
from django.db import DatabaseError

DETAIL = re.compile(r"^DETAIL:.*?(?=^[A-Z]+:|^\S|\Z)", re.MULTILINE | re.DOTALL)


def clean(text: str) -> str:
    """Without DETAIL, and without what PostgreSQL can't store."""
    return DETAIL.sub("", text).replace("\x00", "").encode(errors="replace").decode()


def cleanse(error: BaseException | None) -> None:
    """Clean an error and all that led to it: Celery reports them to its log and to Flower."""
    while error:
        if isinstance(error, DatabaseError | psycopg.Error):
            error.args = tuple(clean(part) if isinstance(part, str) else part for part in error.args)
        error = error.__cause__ or error.__context__
