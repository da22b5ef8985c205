"""A cut link sends no RST, so the kernel must close a connection whose other end is silent.

tests/machines cuts links between real machines; these are the sockets' own settings.
"""

import os
import socket

import pytest
from celery import current_app
from django.db import connection

from backroom.runtime import broker

LIMITS = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_USER_TIMEOUT": 10_000}  # seconds, seconds and milliseconds


def limits_of(file: int) -> dict[str, int]:
    with socket.socket(fileno=os.dup(file)) as held:
        assert held.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        return {name: held.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in LIMITS}


@pytest.mark.django_db
def test_both_ends_of_a_session_of_the_database_notice_that_their_link_is_cut():
    with connection.cursor() as cursor:
        assert limits_of(connection.connection.fileno()) == LIMITS
        shown = {}
        for name in "keepalives_idle", "keepalives_interval", "user_timeout":
            cursor.execute(f"SHOW tcp_{name}")
            (shown[name],) = cursor.fetchone()
    assert shown == {"keepalives_idle": "10", "keepalives_interval": "3", "user_timeout": "10000"}


def test_a_worker_and_a_publisher_notice_that_their_link_to_the_broker_is_cut():
    for made in current_app.connection_for_read(), broker.connection():
        with made as connected:
            pool = connected.default_channel.client.connection_pool
            used = pool.get_connection("PING")
            assert limits_of(used._sock.fileno()) == LIMITS
            pool.release(used)
