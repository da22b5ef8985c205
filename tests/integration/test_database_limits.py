"""Nothing at the database takes for ever, and a connection that died is not a customer's problem."""

import socket
import time
from collections.abc import Iterator
from contextlib import nullcontext

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, close_old_connections, connection
from django.test import Client
from psycopg import IsolationLevel

from backroom.ledger.models import Heartbeat as HeartbeatRow
from backroom.runtime.checks import log_findings
from backroom.runtime.heartbeat import Heartbeat, let_prepare
from backroom.runtime.session_checks import check_sessions
from tests import pooler
from tests.integration import sick_database as sick

pytestmark = pytest.mark.django_db(transaction=True)

BOUNDED = "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=10s"
LIMITS = {"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "10s"}


@pytest.mark.parametrize("name", LIMITS)
def test_the_server_itself_bounds_each_session(name: str):
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        assert cursor.fetchone() == (LIMITS[name],)


def test_a_kept_connection_that_died_is_replaced_before_a_customer_meets_it():
    client = Client(raise_request_exception=False)
    assert client.get("/products/").status_code == 200
    sick.administer(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{connection.settings_dict['NAME']}'"  # noqa: S608
    )
    close_old_connections()  # Django does this as each request begins; its test client leaves it out
    assert client.get("/products/").status_code == 200


def test_a_database_that_hangs_costs_no_more_than_the_time_to_connect():
    with socket.create_server(("127.0.0.1", 0), backlog=5) as silent:
        begin = time.monotonic()
        with sick.connecting_to(PORT=silent.getsockname()[1]), pytest.raises(OperationalError):
            connection.ensure_connection()
    seconds = settings.DATABASES["default"]["OPTIONS"]["connect_timeout"]
    assert seconds - 1 < time.monotonic() - begin < seconds + 10


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, ["W007"]),
        ({"options": "-c lock_timeout=1s -c statement_timeout=1s"}, ["W007"]),
        ({"options": f"{BOUNDED} -c default_transaction_isolation=serializable"}, ["E012"]),
        ({"options": BOUNDED, "isolation_level": IsolationLevel.REPEATABLE_READ}, ["E012"]),
        ({"options": BOUNDED}, []),
    ],
)
def test_a_session_without_what_the_ledger_needs_is_found_by_the_checks(monkeypatch, options, ids):
    """The server is asked, so it counts what a pooler, the role and the server's own settings make of it."""
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    assert [found.id for found in check_sessions(None, databases=["default"])] == [f"backroom.{id}" for id in ids]


def test_the_checks_pass_where_there_is_no_database(monkeypatch):
    """As where an image is built."""
    monkeypatch.setitem(connection.settings_dict, "PORT", 9)
    assert check_sessions(None, databases=["default"]) == []


@pytest.fixture
def pgbouncer(tmp_path) -> Iterator[int]:
    """The port of one."""
    if not pooler.program():
        pytest.skip("pgbouncer is not here; .ci/nightly installs it")
    tmp_path.chmod(0o755)
    its = connection.settings_dict
    server = f"host={its['HOST']} port={its['PORT']} user={its['USER']} password={its['PASSWORD']} pool_size=2"
    with pooler.running(tmp_path, server) as port:
        yield port


@pytest.mark.slow
def test_a_pooler_that_drops_the_limits_is_in_the_log_of_a_process_that_starts(pgbouncer, caplog):
    log_findings()
    assert caplog.messages == []
    with sick.connecting_to(PORT=pgbouncer):
        log_findings()
    limits, cursors = caplog.messages
    assert f"(backroom.W007) a session of the database has no {', '.join(LIMITS)}:" in limits
    assert "(backroom.W014) a pooler shares out" in cursors


@pytest.mark.slow
@pytest.mark.parametrize("disabled", [False, True])
def test_behind_a_pooler_an_iterator_outside_a_transaction_needs_its_cursor_on_the_client(pgbouncer, disabled):
    """Another client has the session meanwhile, so the next rows are asked of one that has no such cursor."""
    HeartbeatRow.objects.bulk_create(HeartbeatRow(name=str(number), role="beat") for number in range(3))
    fails = pytest.raises(psycopg.errors.InvalidCursorName)
    with sick.connecting_to(PORT=pgbouncer, DISABLE_SERVER_SIDE_CURSORS=disabled):
        found = HeartbeatRow.objects.iterator(chunk_size=1)
        next(found)
        url = "host=127.0.0.1 port={} dbname={NAME} user={USER}".format(pgbouncer, **connection.settings_dict)
        with psycopg.connect(url) as other, nullcontext() if disabled else fails:
            other.execute("SELECT 1")
            assert len(list(found)) == 2


@pytest.mark.slow
def test_a_worker_behind_a_pooler_is_not_judged_by_its_sessions(pgbouncer, monkeypatch):
    """The pooler ends them as it likes."""
    monkeypatch.setenv("PGAPPNAME", "tests/1")
    for direct in (True, False):
        with sick.connecting_to(**({} if direct else {"PORT": pgbouncer})):
            Heartbeat("worker", "tests/1").beat()
            let_prepare(connection)
            assert (connection.connection.prepare_threshold is not None) == direct  # nor does it prepare statements
        assert bool(HeartbeatRow.objects.get().session) == direct
