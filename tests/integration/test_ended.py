"""Whether a worker has ended, as its database sessions tell: all of a dead one's end, and those of a live one may."""

import time
from threading import Event, Thread

import pytest
from django.db import connection

from backroom.ledger import rescue, transitions
from backroom.ledger.sql import rows
from backroom.runtime import heartbeat
from backroom.runtime.ended import Ended
from backroom.runtime.heartbeat import Heartbeat
from backroom.runtime.pulse import Pulse
from tests.integration.attempts import body
from tests.integration.sick_database import another_session
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def beat_as(name: str, monkeypatch) -> None:
    """A worker's heartbeat, over a session that has ended when this returns."""
    monkeypatch.setenv("PGAPPNAME", heartbeat.session_name(name))
    beat = Thread(target=lambda: (Heartbeat("worker", name).beat(), connection.close()))
    beat.start()
    beat.join()
    monkeypatch.delenv("PGAPPNAME")


@pytest.fixture
def ended(monkeypatch) -> Ended:
    monkeypatch.setattr("backroom.runtime.ended.PATIENCE", 0)
    return Ended()


def test_a_worker_is_dead_once_its_last_session_has_ended_but_not_after_a_restart_of_the_database(ended, monkeypatch):
    id, name = body.enqueue("now"), "tests/1"
    transitions.claim(id, name)
    monkeypatch.setenv("PGAPPNAME", name)
    with another_session() as child:
        child.execute("SELECT 1")
        beat_as(name, monkeypatch)
        assert ended.look() == []
    until(lambda: not rows("SELECT FROM pg_stat_activity WHERE application_name = %s", name))
    connection.close()  # as at a restart of PostgreSQL: no session is older than the heartbeat
    assert ended.look() == []
    beat_as(name, monkeypatch)
    (dead,) = until(ended.look)
    beat_as(name, monkeypatch)
    assert rescue.requeue_abandoned(ended=[dead]) == []  # it lives, as it has sent a heartbeat since
    assert rescue.requeue_abandoned(ended=until(ended.look)) == [id]
    assert ended.look() == []  # nothing is left to rescue


def test_a_worker_whose_sessions_a_person_ended_is_alive(ended, monkeypatch):
    name = "tests/1"
    transitions.claim(body.enqueue("now"), name)
    assert ended.look() == []
    monkeypatch.setenv("PGAPPNAME", name)
    with another_session() as killed:
        (pid,) = killed.execute("SELECT pg_backend_pid()").fetchone()
        beat_as(name, monkeypatch)
        rows("SELECT pg_terminate_backend(%s, 5000)", pid)
        for _ in range(3):
            assert ended.look() == []
        killed.close()
    beat_as(name, monkeypatch)
    assert until(ended.look)


def test_a_worker_that_does_not_name_its_sessions_has_until_its_heartbeat_is_old(monkeypatch):
    beat_as("tests/1", monkeypatch)
    Heartbeat("worker", "tests/2").beat()  # this session has no such name
    named = dict(rows("SELECT name, session FROM backroom_heartbeat"))
    assert named["tests/1"].endswith("/tests/1")
    assert named["tests/2"] == ""


def test_a_worker_replaces_a_lost_session_at_once(monkeypatch):
    connection.ensure_connection()
    monkeypatch.setenv("PGAPPNAME", "tests/1")
    pulse, connected = Pulse(), Event()

    def pause() -> None:
        connection.ensure_connection()
        connected.set()
        pulse._pause(time.monotonic() + 60)
        connection.close()

    def session() -> int:
        return rows("SELECT max(pid) FROM pg_stat_activity WHERE application_name = 'tests/1'")[0][0]

    worker = Thread(target=pause)
    worker.start()
    try:
        assert connected.wait(60)  # the end of a session that is still connecting would be this thread's error
        first = session()
        rows("SELECT pg_terminate_backend(%s, 5000)", first)
        assert until(session) != first
    finally:
        pulse.stop()
        worker.join()
