"""The sessions of the database."""

from django.db import connection


def some_session_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:  # not in pg_stat_activity, which stays as it was during a transaction
        cursor.execute("SELECT FROM pg_locks WHERE NOT granted")
        return cursor.rowcount > 0
