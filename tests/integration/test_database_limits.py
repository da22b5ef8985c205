"""Nothing at the database takes for ever, and a connection that died is not a customer's problem."""

import socket
import time

import pytest
from django.conf import settings
from django.db import OperationalError, close_old_connections, connection
from django.test import Client

from tests.integration import sick_database as sick

pytestmark = pytest.mark.django_db(transaction=True)

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
    assert seconds - 1 < time.monotonic() - begin < seconds + 2
