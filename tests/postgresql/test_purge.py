"""What it costs to delete finished jobs, beside the detaching of a partition: docs/adr/0012-one-table-of-jobs.md."""

import time

import pytest
from django.db import connection

from backroom.ledger import operations
from bench.growth import COLUMNS, FILL
from tests.postgresql.conftest import Row

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]

JOBS, BATCH = 1_000_000, 5_000
LIMIT = 200  # microseconds each: a quarter of what PostgreSQL needs to insert, claim and finish one


def ask(statement: str) -> tuple:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else ()


def timed(statement: str) -> float:
    begin = time.monotonic()
    ask(statement)
    return time.monotonic() - begin


def test_a_million_finished_jobs_are_deleted_in_a_fraction_of_the_time_that_they_took(row: Row):
    ask("SET statement_timeout = 0")
    ask(FILL.format(first=1, last=JOBS, columns=COLUMNS["finished"]))
    ask("CREATE TABLE parts (LIKE backroom_job) PARTITION BY RANGE (id)")
    ask("CREATE TABLE part PARTITION OF parts DEFAULT")
    try:
        ask("INSERT INTO part TABLE backroom_job")
        ask("VACUUM ANALYZE backroom_job")
        (size,) = ask("SELECT pg_total_relation_size('backroom_job')")
        (log,), begin = ask("SELECT pg_current_wal_insert_lsn()"), time.monotonic()
        while operations.purge(0, BATCH) == BATCH:
            pass
        each = (time.monotonic() - begin) / JOBS * 1e6
        (written,) = ask(f"SELECT pg_current_wal_insert_lsn() - '{log}'::pg_lsn")
        cleaned = timed("VACUUM backroom_job")
        detached = timed("ALTER TABLE parts DETACH PARTITION part") + timed("DROP TABLE part")
    finally:
        ask("DROP TABLE IF EXISTS parts, part")
        ask("RESET statement_timeout")
    assert ask("SELECT count(*) FROM backroom_job") == (0,)
    assert each < LIMIT
    row("1 million", round(size / 1e6), each, float(written / JOBS), cleaned, detached)
