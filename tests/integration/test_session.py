"""A body can't harm the next job of its process through their database session."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.sessions.models import Session
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from backroom.ledger.models import Job
from tests.integration.attempts import atomic_body, attempt, body

pytestmark = pytest.mark.django_db(transaction=True)

# A session's id, its locks, settings and temporary tables.
SESSION = """
SELECT pg_backend_pid(), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
       current_setting('lock_timeout'), current_setting('app.tenant', true), to_regclass('pg_temp.leftover') IS NULL
"""


@pytest.fixture(autouse=True)
def _closed(transactional_db) -> Iterator[None]:
    yield
    connection.close()


def sql(text: str) -> Callable[[], None]:
    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(text)

    run.__name__ = text
    return run


def raw(work: Callable[[object], object], name: str) -> Callable[[], None]:
    """A body that uses the driver's connection, behind Django's cursors."""

    def run() -> None:
        work(connection.connection)

    run.__name__ = name
    return run


def driver_autocommit_off(driver: object) -> None:
    driver.autocommit = False


def copied(driver: object) -> None:
    with driver.cursor().copy("COPY (SELECT pg_advisory_lock(7)) TO STDOUT") as copy:
        list(copy)


def named(driver: object) -> None:
    with driver.cursor("leftover", withhold=True) as cursor:
        cursor.execute("SELECT pg_advisory_lock(7)").fetchall()


def write() -> None:
    Session.objects.create(session_key="a", expire_date="2030-01-01T00:00Z")


def autocommit_off() -> None:
    transaction.set_autocommit(False)
    write()


def raw_begin() -> None:
    sql("BEGIN")()
    write()


def entered_transaction() -> None:
    transaction.atomic().__enter__()
    write()


def session() -> tuple:
    with connection.cursor() as cursor:
        cursor.execute(SESSION)
        return cursor.fetchone()


def seen_elsewhere(job: Job) -> tuple[str, int]:
    """A job's state and claims, as another session sees them."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT state, claims FROM backroom_job WHERE id = %s", [job.id])
            return cursor.fetchone()
    finally:
        other.close()


def failing(work: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        work()
        raise OSError("its own reason")

    return run


TRANSACTIONS = [autocommit_off, raw_begin, entered_transaction, raw(driver_autocommit_off, "the driver's autocommit")]
LASTING = [
    sql("SELECT pg_advisory_lock(7)"),
    sql("SET lock_timeout = '7s'"),
    sql("SELECT set_config('lock_timeout', '7s', false)"),
    sql("CREATE TEMP TABLE leftover (id int)"),
    sql("SELECT 1 AS id INTO  TEMP leftover"),
    raw(lambda driver: driver.execute("SET lock_timeout = '7s'"), "the driver's SET"),
    raw(lambda driver: driver.cursor().execute(b"SELECT pg_advisory_lock(7)"), "the driver's lock"),
    raw(lambda driver: driver.cursor().executemany("SELECT pg_advisory_lock(%s)", [[7]]), "the driver's executemany"),
    raw(lambda driver: list(driver.cursor().stream("SELECT pg_advisory_lock(7)")), "the driver's stream"),
    raw(copied, "the driver's COPY"),
    raw(named, "the driver's named cursor"),
    sql("SET ROLE pg_monitor"),
]


@pytest.mark.parametrize("work", [*TRANSACTIONS, *LASTING])
def test_a_body_that_leaves_its_session_changed_fails_and_the_next_job_has_a_new_one(work):
    _, *pristine = session()
    job = attempt(work)
    assert "Unclean: the body left " in job.error
    assert (seen_elsewhere(job), job.attempts) == (("waiting", 1), 1)
    assert not Session.objects.exists()
    after = attempt(session)
    assert after.result[1:] == pristine
    assert seen_elsewhere(after) == ("succeeded", 1)


@pytest.mark.parametrize("work", [*TRANSACTIONS, *LASTING])
def test_a_body_that_fails_in_a_changed_session_keeps_its_reason_and_the_next_job_has_a_new_one(work):
    _, *pristine = session()
    job = attempt(failing(work))
    assert job.error.startswith("OSError: its own reason")
    assert seen_elsewhere(job) == ("waiting", 1)
    assert not Session.objects.exists()
    assert attempt(session).result[1:] == pristine


@pytest.mark.parametrize("of", [body, atomic_body])
def test_a_transaction_that_a_body_left_open_elsewhere_fails_it(of):
    connections.settings["other"] = connections.settings["default"]

    def begin() -> None:
        write()
        connections["other"].connect()  # what Django's tests refuse is to connect at a statement
        with connections["other"].cursor() as cursor:
            cursor.execute("BEGIN")

    try:
        job = attempt(begin, of)
        assert "a transaction open on 'other'" in job.error
        assert (job.state, Session.objects.exists()) == ("waiting", of is body)
    finally:
        connections["other"].close()
        del connections["other"], connections.settings["other"]


def test_an_atomic_body_that_leaves_a_transaction_open_is_rolled_back():
    job = attempt(entered_transaction, atomic_body)
    assert (seen_elsewhere(job), Session.objects.exists()) == (("waiting", 1), False)
    assert seen_elsewhere(attempt(write, atomic_body)) == ("succeeded", 1)
    assert Session.objects.exists()


@pytest.mark.parametrize("work", LASTING[:-1])  # in another role the finish fails
def test_what_an_atomic_body_leaves_beyond_its_commit_is_logged_and_dropped(work, caplog):
    _, *pristine = session()
    assert attempt(work, atomic_body).state == "succeeded"
    assert "the body left" in caplog.text
    assert attempt(session).result[1:] == pristine


def test_a_setting_that_the_server_does_not_list_is_dropped_with_its_connection():
    assert attempt(sql("SET app.tenant = '42'")).state == "succeeded"
    assert attempt(session).result[3] is None


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (body, "SET lock_timeout = '7s'; RESET lock_timeout"),
        (body, "SELECT pg_advisory_lock(7), pg_advisory_unlock(7)"),
        (body, "CREATE TEMP TABLE leftover (id int); DROP TABLE leftover"),
        (atomic_body, "SET LOCAL lock_timeout = '7s'"),
        (atomic_body, "SELECT pg_advisory_xact_lock(7)"),
        (atomic_body, "CREATE TEMP TABLE leftover (id int) ON COMMIT DROP"),
    ],
)
def test_a_body_may_change_its_session_and_undo_it(of, text: str, caplog):
    assert attempt(sql(text), of).state == "succeeded"
    assert "the body left" not in caplog.text


def test_a_body_that_does_nothing_unusual_costs_no_statement_and_keeps_its_connection():
    before, *_ = session()
    with CaptureQueriesContext(connection) as queries:
        assert attempt(write).state == "succeeded"
    assert [query["sql"].split()[0] for query in queries] == ["INSERT", "UPDATE", "INSERT", "WITH", "SELECT"]
    assert session()[0] == before


ENDS = [
    sql("COMMIT"), sql(" end"), sql("ROLLBACK"), sql("BEGIN"), sql("SELECT 1; COMMIT"), sql("/* x */ -- y\nCOMMIT"),
    sql("SELECT ';' ;\n rollback  work"), raw(lambda driver: driver.execute("COMMIT"), "the driver's COMMIT"),
    raw(lambda driver: driver.commit(), "the driver's commit()"),
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_an_atomic_body_can_not_end_its_transaction(end):
    def work() -> None:
        write()
        end()

    job = attempt(work, atomic_body)
    assert job.error.startswith("TransactionManagementError")
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        "DO $$ BEGIN PERFORM 1; END $$",
        "SELECT '; COMMIT', E'\\'; COMMIT', \"a\" FROM (SELECT 1 AS a) AS \"; COMMIT\" -- ; COMMIT",
        "SAVEPOINT a; ROLLBACK  TO a; ROLLBACK WORK TO SAVEPOINT a",
    ],
)
def test_what_only_looks_like_an_end_is_none(text):
    assert attempt(sql(text), atomic_body).state == "succeeded"
