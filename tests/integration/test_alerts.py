"""Each rule fires and recovers for real; each is mailed once, whichever process dies and however many watchers run."""

import html
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from email.message import EmailMessage

import pytest
from celery import current_app
from django.db import connection
from django.db.models import F
from django.utils import timezone

from backroom.ledger import transitions
from backroom.ledger.models import Attempt, Job
from backroom.ops import alerts, audit_log, disks, rules, stats
from backroom.ops.models import Alert, TaskMinute
from backroom.ops.watcher import Watcher
from backroom.outbound import breaker
from backroom.outbound.errors import PartnerUnavailable
from stack import ports
from tests.integration import mailbox as smtp
from tests.integration import sick_database as sick
from tests.integration.broker import broker_at
from tests.integration.gates import fails_for, pause_over
from tests.integration.heartbeats import process, worker_beats
from tests.integration.minutes import noted
from tests.integration.staff import customer, reader, text
from tests.integration.watching import QUEUES, all_at_work, goes_by, looking, silent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _clean_broker() -> Iterator[None]:
    yield
    current_app.control.purge()


@pytest.fixture
def mailbox(settings) -> Iterator[smtp.Mailbox]:
    settings.BACKROOM_ALERT_MAIL_TO = ["oncall@shop.example"]
    with smtp.serving(settings) as mailbox:
        yield mailbox


@pytest.fixture
def watcher() -> Watcher:
    all_at_work()
    return Watcher()


def end(count: int, error: str = "") -> None:
    for _ in range(count):
        job = transitions.claim(noted.enqueue(), "default")
        transitions.mark_dead(job, error) if error else transitions.succeed(job, None)


def due_for(seconds: float) -> None:
    Job.objects.filter(state="ready").update(published_at=timezone.now() - timedelta(seconds=seconds))


# Each makes its rule fire, and ends that after the yield. Silent processes are real rows grown old.
def dispatcher_silent() -> Iterator[None]:
    silent("role = 'dispatcher'")
    yield
    process("dispatcher")


def beat_silent() -> Iterator[None]:
    silent("role = 'beat'")
    yield
    process("beat")


def queue_without_worker() -> Iterator[None]:
    silent("queues = 'bulk'")
    yield
    worker_beats("another", "bulk", [])


def queue_late() -> Iterator[None]:
    noted.using(queue_name="critical").enqueue()
    due_for(31)
    yield
    transitions.succeed(transitions.claim(str(Job.objects.get().id), "critical"), None)


def failure_rate() -> Iterator[None]:
    end(20)
    end(2, "Permanent: no such order")
    yield
    end(40)


def dead_letters_growing() -> Iterator[None]:
    end(3, "Permanent: no such order")
    yield
    Attempt.objects.update(ended_at=F("ended_at") - timedelta(seconds=rules.WINDOW + 60))
    TaskMinute.objects.update(minute=F("minute") - timedelta(seconds=rules.WINDOW + 60))


def partner_failing() -> Iterator[None]:
    for number in range(breaker.THRESHOLD):
        with suppress(PartnerUnavailable), breaker.guard("warehouse", f"shipment:{number}", lease=5):
            raise PartnerUnavailable("no")
    fails_for("warehouse", 61)
    yield
    pause_over("warehouse")
    with breaker.guard("warehouse", "shipment:1", lease=5):
        pass


def broker_away() -> Iterator[None]:
    with broker_at("redis://127.0.0.1:9/0"):
        yield


def database_away() -> Iterator[None]:
    with sick.away():
        yield


def disk_full() -> Iterator[None]:
    usual = disks.SHARE, disks.MOST
    disks.SHARE, disks.MOST = 2, 2**60  # test_full_disk has a disk that is full
    try:
        yield
    finally:
        disks.SHARE, disks.MOST = usual


TROUBLES = [
    dispatcher_silent, beat_silent, queue_without_worker, queue_late, failure_rate, dead_letters_growing,
    partner_failing, broker_away, database_away, disk_full,
]  # fmt: skip


def test_every_rule_that_is_watched_is_tried_here():
    named = [trouble.__name__.replace("_", "-") for trouble in TROUBLES]
    assert sorted(named) == sorted(rule.name for rule in rules.RULES if rule.watched)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_each_rule_fires_once_it_lasts_and_is_over_once_it_has_been_well_as_long(trouble, mailbox, watcher):
    with contextmanager(trouble)():
        watcher.look()
        assert not mailbox.mails, "it has not lasted"
        goes_by(watcher=watcher)
        for _ in range(3):
            watcher.look()
        (fired,) = mailbox.mails
    rule = trouble.__name__.replace("_", "-")
    assert fired["To"] == "oncall@shop.example"
    assert fired["Subject"].startswith("Alert: ")
    assert f"/ops/alerts/#{rule}" in body(fired)
    assert rules.BY_NAME[rule].do in body(fired)
    for _ in range(2):
        watcher.look()
    assert len(mailbox.mails) == 1, "it has not been well for long"
    goes_by()
    for _ in range(3):
        watcher.look()
    (_, over) = mailbox.mails
    assert over["Subject"] == fired["Subject"].replace("Alert: ", "Recovered: ")
    assert over["In-Reply-To"] == fired["Message-ID"] != over["Message-ID"]
    assert rules.BY_NAME[rule].left in body(over)
    assert "Still to do" not in body(fired)
    (alert,) = Alert.objects.all()
    assert alert.fired_at <= alert.mailed_at <= alert.recovered_at <= alert.recovery_mailed_at


def body(mail: EmailMessage) -> str:
    return mail.get_content()


def fire(trouble: Callable[[], Iterator[None]], watcher: Watcher) -> Iterator[None]:
    """Let something go wrong until it fires; the next step of what it returns ends it."""
    going = trouble()
    next(going)
    watcher.look()
    goes_by()
    watcher.look()
    return going


def test_what_a_shop_that_has_just_begun_does_not_have_yet_is_no_alert(mailbox):
    watcher = Watcher()
    for _ in range(3):
        watcher.look()
        goes_by(rules.LASTING / 4)
    all_at_work()
    watcher.look()
    goes_by()
    watcher.look()
    assert not mailbox.mails
    assert not Alert.objects.exists()


def test_what_was_missing_when_the_machine_went_off_counts_from_its_next_start(mailbox):
    Watcher().look()
    night = timedelta(hours=8)
    Alert.objects.update(since=F("since") - night, seen_at=F("seen_at") - night)
    Watcher().look()
    assert not mailbox.mails
    assert timezone.now() - Alert.objects.earliest("since").since < timedelta(seconds=10)


def test_a_figure_that_sways_about_its_limit_calls_once(mailbox, watcher):
    going = fire(queue_late, watcher)
    for seconds in (29, 31, 25, 40, 29):
        due_for(seconds)
        watcher.look()
        goes_by()
        watcher.look()
    assert len(mailbox.mails) == 1
    due_for(20)
    watcher.look()
    due_for(31)  # well for a moment only
    goes_by()
    watcher.look()
    assert len(mailbox.mails) == 1
    next(going, None)


def test_what_is_paused_is_not_late_and_the_page_says_that_it_is_paused(mailbox, watcher):
    watcher.look()
    noted.using(queue_name="critical").enqueue()
    due_for(3600)
    for what in "queue:critical", "task:tests.noted":
        assert [finding.rule.name for finding in rules.findings(stats.snapshot(rules.WINDOW))] == ["queue-late"]
        audit_log.pause(what, "me", "a drill")
        assert rules.findings(stats.snapshot(rules.WINDOW)) == []
        assert "is paused by me: a drill" in text(reader().get("/ops/"))
        audit_log.resume(what, "me", "over")


def test_watchers_at_the_same_moment_mail_each_alert_once(mailbox, watcher):
    silent("role <> 'watcher'")
    alerts = len(QUEUES) + 2  # of each queue's workers, the dispatcher and beat
    for wrong in True, False:
        watcher.look()
        goes_by()
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(look_thrice) for _ in range(4)]:
                done.result()
        assert len(mailbox.mails) == (alerts if wrong else 2 * alerts)
        all_at_work()
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 2 * alerts


def look_thrice() -> None:
    with looking() as watcher:
        for _ in range(3):
            watcher.look()


@pytest.mark.parametrize("trouble", ["refused", "not now", "hangs", "drops the line"])
def test_a_mail_server_in_trouble_is_asked_again_until_it_takes_the_alert_once(trouble, mailbox, watcher, settings):
    port = settings.EMAIL_PORT
    if trouble == "refused":
        settings.EMAIL_PORT = ports.free(["SMTP_PORT"])["SMTP_PORT"]
    mailbox.answers = {"RCPT": "451 4.7.1 greylisted"} if trouble == "not now" else {}
    mailbox.hangs_at, settings.EMAIL_TIMEOUT = ("DATA", 0.5) if trouble == "hangs" else ("", 30)
    mailbox.drops_at = "MAIL" if trouble == "drops the line" else ""
    going = fire(queue_without_worker, watcher)
    watcher.look()
    assert not mailbox.mails
    assert "not mailed yet" in text(reader().get("/ops/"))
    settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = port, 30
    mailbox.answers, mailbox.hangs_at, mailbox.drops_at = {}, "", ""
    for _ in range(2):
        watcher.look()
    assert [mail["Subject"] for mail in mailbox.mails] == ["Alert: No worker serves queue bulk (0 ready)"]
    next(going, None)


def test_what_was_over_before_it_could_be_mailed_is_one_mail_that_says_both(mailbox, watcher, settings):
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, ports.free(["SMTP_PORT"])["SMTP_PORT"]
    next(fire(queue_without_worker, watcher), None)
    watcher.look()
    goes_by()
    watcher.look()
    settings.EMAIL_PORT = port
    for _ in range(2):
        watcher.look()
    (only,) = mailbox.mails
    assert only["Subject"].startswith("Recovered: No worker serves queue bulk")
    assert "the only mail about it" in body(only)


def test_a_watcher_that_dies_after_the_mail_leaves_it_to_be_sent_again_as_the_same(mailbox, watcher):
    silent("queues = 'bulk'")
    watcher.look()
    goes_by()
    with sick.cut_at(b"recovery_mailed_at = CASE", 1, delivered=False):
        watcher.look()
    for _ in range(2):
        Watcher().look()
    assert len(mailbox.mails) == 1, "the other one's lease"
    Alert.objects.update(mailing_until=F("mailing_until") - timedelta(seconds=alerts.LEASE))
    for _ in range(2):
        Watcher().look()
    first, second = (mail["Message-ID"] for mail in mailbox.mails)
    assert first == second


def test_two_watchers_that_lost_the_database_each_say_so_and_one_says_that_it_is_back(mailbox, watcher):
    others = Watcher()
    with sick.away():
        for each in watcher, others:
            each.look()
            goes_by(watcher=each)
            each.look()
            each.look()
    assert len(mailbox.mails) == 2
    for _ in range(2):
        for each in watcher, others:
            each.look()
        goes_by()
    assert [mail["Subject"].partition(" ")[0] for mail in mailbox.mails] == ["Alert:", "Alert:", "Recovered:"]
    assert Alert.objects.count() == 1


def test_a_database_that_only_reads_is_as_good_as_away(mailbox, watcher):
    watcher.heartbeat.due = 0
    with sick.read_only():
        watcher.look()
        goes_by(watcher=watcher)
        watcher.look()
    (mail,) = mailbox.mails
    assert mail["Subject"].startswith("Alert: The database is down")


def test_without_an_address_it_is_on_the_page_and_in_the_table_and_a_warning_at_boot(mailbox, watcher, settings):
    settings.BACKROOM_ALERT_MAIL_TO = []
    going = fire(queue_without_worker, watcher)
    assert not mailbox.mails
    assert "No worker serves queue bulk" in text(reader().get("/ops/"))
    assert "Alerts are not mailed: BACKROOM_ALERT_MAIL_TO is not set" in text(reader().get("/ops/alerts/"))
    next(going, None)


def test_the_page_says_since_when_if_it_was_mailed_and_what_to_do_and_keeps_the_history(mailbox, watcher):
    client = reader()
    assert customer().get("/ops/alerts/").status_code == 403
    silent("queues = 'bulk'")
    assert "new · rule" in text(client.get("/ops/"))
    watcher.look()
    assert "pending · rule Start a worker for this queue" in text(client.get("/ops/"))
    goes_by()
    watcher.look()
    alert = Alert.objects.get()
    assert f"since {alert.since:%-d %b %H:%M:%S}, mailed {alert.mailed_at:%H:%M:%S}" in text(client.get("/ops/"))
    assert "firing" in text(client.get("/ops/alerts/"))
    all_at_work()
    watcher.look()
    assert "recovering since" in text(client.get("/ops/"))
    goes_by()
    watcher.look()
    assert "All systems normal" in text(client.get("/ops/"))
    history = text(client.get("/ops/alerts/"))
    assert "firing" not in history
    assert f"queue-without-worker No worker serves queue bulk (0 ready). {alert.since:%d %b %Y}" in history
    for rule in rules.RULES:
        assert rule.condition.split(":")[0] in history


def test_a_watcher_does_not_report_its_own_silence_but_the_page_does(watcher):
    all_at_work()
    assert "No watcher is running" in text(reader().get("/ops/"))
    watcher.look()
    assert "All systems normal" in text(reader().get("/ops/"))
    silent("role = 'watcher'", rules.LASTING + 1)
    assert "No watcher is running" in text(reader().get("/ops/"))


def test_an_alert_of_another_releases_rule_is_left_to_its_watcher_unless_that_is_gone(mailbox, watcher):
    alert = Alert.objects.create(rule="of-tomorrow", says="x", fired_at=timezone.now(), mailed_at=timezone.now())
    watcher.look()
    goes_by()
    watcher.look()
    alert.refresh_from_db()
    assert alert.calm_since is None
    Alert.objects.update(seen_at=timezone.now() - timedelta(seconds=3 * alerts.UNSEEN))
    watcher.look()
    goes_by()
    watcher.look()
    assert [mail["Subject"] for mail in mailbox.mails] == ["Recovered: x"]


def test_what_was_over_long_ago_is_purged_and_what_is_not_over_is_kept():
    old = timezone.now() - timedelta(days=alerts.KEPT + 1)
    Alert.objects.create(rule="a", says="x", since=old, recovered_at=old)
    kept = Alert.objects.create(rule="b", says="x", since=old)
    alerts.purge()
    assert list(Alert.objects.all()) == [kept]


def test_a_watcher_sends_a_heartbeat_after_all_rules_and_deletes_it_when_it_stops():
    all_at_work()
    watcher = Watcher()
    with sick.another_session() as other, connection.cursor() as cursor:
        other.execute("LOCK TABLE backroom_ops_alert")
        cursor.execute("SET lock_timeout = '20ms'")
        watcher.look()
    assert stats.snapshot(0).silent_s("watcher") > 3600
    watcher.look()
    assert stats.snapshot(0).silent_s("watcher") < 5
    watcher.stop.set()
    watcher.run()
    assert stats.snapshot(0).silent_s("watcher") > 3600
    connection.close()


def test_the_page_has_each_rule_with_its_limit_and_what_to_do():
    page = html.unescape(text(reader().get("/ops/alerts/")))
    assert [rule.name for rule in rules.RULES if rule.condition not in page or rule.do not in page] == []
