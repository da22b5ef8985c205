"""The gate before a partner, on the real Valkey: who is let through, who waits how long, and who finds out."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise

import pytest
from django.core.management import call_command

from backroom import Permanent, RetryAfter, Snooze
from backroom.ops import rules
from backroom.ops.stats import Broker, snapshot
from backroom.outbound import breaker
from backroom.outbound.errors import Away, PartnerUnavailable, PartnerUnreachable
from backroom.runtime import broker
from tests.integration.attempts import attempt
from tests.integration.broker import broker_at
from tests.integration.gates import fails_for, pause_over
from tests.waiting import until


@pytest.fixture(autouse=True)
def _room(settings) -> None:
    """More room than any test needs that is not about it."""
    settings.BACKROOM_PARTNER_RATES = {"mail": 1000.0}


def call(effect: str = "receipt:1", error: BaseException | None = None, lease: float = 5, **options) -> None:
    with breaker.guard("mail", effect, lease, **options):
        if error:
            raise error


def fail(effect: str, error: type[Exception] = PartnerUnavailable) -> Exception | None:
    """What a call that fails raises in the end."""
    try:
        call(effect, error("no"))
    except Exception as raised:
        return raised
    return None


def open_it() -> None:
    for number in range(breaker.THRESHOLD):
        fail(f"receipt:{number}")
    assert state() == "open"


def state() -> str:
    (found,) = breaker.states()
    return found["state"]


def test_a_partner_that_fails_for_many_is_left_alone():
    open_it()
    with pytest.raises(Away, match="breaker is open") as refused:
        call()
    assert isinstance(refused.value, Snooze), "a job uses no attempt"
    assert isinstance(refused.value, PartnerUnavailable), "a caller outside jobs handles it as a timeout"
    (found,) = breaker.states()
    assert (found["failures"], found["next_s"]) == (breaker.THRESHOLD, pytest.approx(breaker.PAUSE, abs=2))
    pause_over("mail")
    assert state() == "half-open"


def test_a_success_between_failures_keeps_it_closed():
    for number in range(3 * breaker.THRESHOLD):
        fail(f"receipt:{number}")
        if number % 3 == 0:
            call()
    assert state() == "closed"


def test_one_poisonous_request_uses_its_attempts_and_opens_nothing():
    for _ in range(3 * breaker.THRESHOLD):
        assert type(fail("receipt:666")) is PartnerUnavailable
        fails_for("mail", breaker.LONG)
    assert state() == "closed"


def test_where_few_call_two_effects_open_it_once_all_have_failed_for_long():
    fail("shipment:1")
    fail("shipment:2")
    assert state() == "closed"
    fails_for("mail", breaker.LONG)
    fail("shipment:1")
    assert state() == "open"


@pytest.mark.django_db(transaction=True)
def test_an_operator_reads_who_fails_since_when_and_what_waits_though_the_breaker_is_closed():
    def ship() -> None:
        call("shipment:1", PartnerUnavailable("mail did not answer"))

    attempt(ship)
    assert said() == [("Calls of mail fail", "breaker closed, 1 tests.body wait).")]
    fails_for("mail", 150)
    assert said() == [("Every call of mail has failed for 3 min", "breaker closed, 1 tests.body wait).")]
    call("shipment:1")
    assert said() == []


def said() -> list[tuple[str, str]]:
    """Alerts and notes on partners: what fails, and what follows the time."""
    now = snapshot()
    lines = [found.says for found in rules.findings(now) if found.rule.name == "partner-failing"] + list(
        rules.notes(now)
    )
    return [tuple(re.split(r" \(since \d\d:\d\d:\d\d UTC, ", line)) for line in lines]


def test_a_poisonous_request_that_probes_uses_an_attempt_too_and_the_next_probe_is_somebody_elses():
    open_it()
    pause_over("mail")
    assert type(fail("receipt:666")) is PartnerUnavailable
    assert state() == "open"
    pause_over("mail")
    call("receipt:7")
    assert state() == "closed"


def test_a_partner_that_can_not_be_reached_uses_no_attempt_of_one_job_and_is_left_alone():
    for _ in range(breaker.THRESHOLD):
        assert type(fail("receipt:1", PartnerUnreachable)) is Away
    assert state() == "open"


@pytest.mark.parametrize("error", [Permanent("no such street"), RetryAfter(0, "busy")])
def test_a_partner_that_refuses_is_up(error):
    open_it()
    pause_over("mail")
    with suppress(Permanent, RetryAfter):
        call(error=error)
    assert state() == "closed"


def test_of_many_at_once_exactly_one_probes():
    open_it()
    pause_over("mail")
    entered = []

    def try_it(number: int) -> None:
        with suppress(Away), breaker.guard("mail", f"receipt:{number}", 5):
            entered.append(number)
            until(lambda: len(turned_away) == 19)

    def turned(number: int) -> None:
        try_it(number)
        turned_away.append(number)

    turned_away: list[int] = []
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(turned, range(20)))
    assert len(entered) == 1
    assert state() == "closed"


def test_a_probe_that_died_is_followed_by_another_and_its_late_word_counts_nothing():
    open_it()
    pause_over("mail")
    late = breaker._step("admit", "mail", 0, 30, breaker.BURST)  # and then the process dies, or freezes
    assert late[0] == "probe"
    with pytest.raises(Away):
        call()
    pause_over("mail")
    assert breaker._step("admit", "mail", 0, 30, breaker.BURST)[0] == "probe"
    breaker._answered("mail", late[1], 0)
    assert state() != "closed"


def test_an_answer_to_a_call_from_before_does_not_close_it():
    fail("receipt:0")
    with breaker.guard("mail", "receipt:0", 5):
        open_it()
    assert state() == "open"


def test_each_failed_probe_doubles_the_pause_up_to_the_longest():
    open_it()
    for pause in (10, 20, 30, 30):
        pause_over("mail")
        fail(f"receipt:{pause}")
        assert breaker.states()[0]["next_s"] == pytest.approx(pause, abs=2)


def test_what_stops_a_call_from_outside_is_not_held_against_the_partner_but_ends_a_probe():
    for number in range(3 * breaker.THRESHOLD):
        with pytest.raises(KeyboardInterrupt):
            call(f"receipt:{number}", KeyboardInterrupt())
    assert state() == "closed"
    open_it()
    pause_over("mail")
    with pytest.raises(KeyboardInterrupt):
        call(error=KeyboardInterrupt())
    assert state() == "open"


def test_no_more_than_the_rate_get_through_and_the_others_are_given_its_next_places(settings):
    settings.BACKROOM_PARTNER_RATES = {"mail": 2.0}
    passed, waits = 0, []
    begin = time.monotonic()
    for number in range(40):
        try:
            call(f"receipt:{number}")
            passed += 1
        except Away as away:
            waits.append(away.seconds + time.monotonic() - begin)
    took = time.monotonic() - begin
    assert passed <= 2 * (breaker.BURST + took) + 1
    assert len(waits) > 20
    gaps = [later - earlier for earlier, later in pairwise(waits)]
    assert gaps == [pytest.approx(1 / 2, abs=0.4)] * len(gaps), "one place each, one after the other"


def test_a_person_waits_a_moment_for_her_turn(settings):
    settings.BACKROOM_PARTNER_RATES = {"mail": 20.0}
    begin = time.monotonic()
    for _ in range(16):
        call(patience=1.0)
    assert 0.2 < time.monotonic() - begin < 5
    settings.BACKROOM_PARTNER_RATES = {"mail": 1.0}
    with ThreadPoolExecutor(16) as threads, pytest.raises(Away):
        list(threads.map(lambda _: call(patience=0.2), range(16)))


def test_what_one_job_was_asked_to_wait_all_wait():
    with suppress(RetryAfter):
        call(error=RetryAfter(30, "busy"))
    with pytest.raises(Away, match="Retry-After") as refused:
        call("receipt:2")
    assert 20 < refused.value.seconds < 31
    assert 20 < breaker.states()[0]["next_s"] < 31


def test_each_host_of_a_partner_has_a_breaker_of_its_own_and_the_partners_rate():
    for _ in range(breaker.THRESHOLD):
        with suppress(Away), breaker.guard("mail:one.example", "receipt:1", 5):
            raise PartnerUnreachable("no such host")
    with pytest.raises(Away, match="breaker is open"), breaker.guard("mail:one.example", "receipt:1", 5):
        pass
    with breaker.guard("mail:two.example", "receipt:1", 5):
        pass
    call()
    assert state() == "closed"


@pytest.mark.django_db
def test_an_operator_sees_each_partners_breaker():
    open_it()
    said = StringIO()
    call_command("jobs", stdout=said)
    (line,) = [line.split() for line in said.getvalue().splitlines() if line.startswith("mail ")]
    assert (line[1], line[3], line[5]) == ("open", str(breaker.THRESHOLD), "1000.0")
    assert datetime.now(UTC) - datetime.fromisoformat(line[2]) < timedelta(minutes=1)


def test_a_memory_that_is_lost_closes_it():
    open_it()
    breaker.reset()
    call()
    assert state() == "closed"


@pytest.mark.django_db
@pytest.mark.parametrize("hangs", [True, False], ids=["hung", "refused"])
def test_without_the_broker_everybody_is_let_through_soon(hangs):
    with socket.create_server(("127.0.0.1", 0)) as server:
        if not hangs:
            server.close()
        with broker_at(f"redis://127.0.0.1:{server.getsockname()[1] if hangs else 9}/0"):
            begin = time.monotonic()
            for _ in range(3 * breaker.THRESHOLD):
                assert type(fail("receipt:1", PartnerUnreachable)) is PartnerUnreachable
            assert time.monotonic() - begin < 3 * broker.TIMEOUT  # and not once for each
            assert breaker.states() is None
            shown = StringIO()
            call_command("jobs", stdout=shown)
            assert len(re.findall(r"(the broker takes no messages|holds them, fails): \w+", shown.getvalue())) == 2


def test_another_broker_keeps_no_gates():
    with broker_at("amqp://127.0.0.1:9"):
        for number in range(3 * breaker.THRESHOLD):
            assert type(fail(f"receipt:{number}", PartnerUnreachable)) is PartnerUnreachable
        assert breaker.states() is None
        assert Broker("", None).why_unknown == "only Redis and Valkey hold them"


def test_a_rate_without_a_partner_holds_back_what_is_over_it_and_its_failures_open_nothing(settings):
    settings.BACKROOM_PARTNER_RATES = {"campaign": 0.1, "mail": 1000.0}
    breaker.pace("campaign")
    with pytest.raises(Away, match="campaign waits: its rate limit is reached") as held:
        breaker.pace("campaign")
    assert 0 < held.value.seconds <= 21
    call()
    assert {found["partner"]: found["state"] for found in breaker.states()} == {"campaign": "closed", "mail": "closed"}
    settings.BACKROOM_PARTNER_RATES = {}
    breaker.pace("campaign")
