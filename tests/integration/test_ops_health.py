"""The first operations page: who sees it, what it says, and what it costs the database."""

import json
import re
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from kombu import Connection

from backroom.ledger import rescue, transitions
from backroom.ledger.models import Heartbeat, Job
from backroom.observe.models import ForeignMessage
from backroom.ops import audit_log, rollups, stats
from backroom.ops.levels import levels
from backroom.ops.metrics import foreign
from backroom.ops.models import TaskHour
from backroom.ops.pages import charts
from backroom.ops.pages.found import LOOK
from backroom.outbound import breaker
from backroom.outbound.errors import PartnerUnavailable
from backroom.runtime.foreign import KEPT, SHOWN, Message, _readable, keep
from backroom.tasks import purge
from bench import sample
from tests import truncate
from tests.integration.heartbeats import process, worker_beats
from tests.integration.minutes import QUEUES, last_minute, noted
from tests.integration.minutes import finished as finish
from tests.integration.staff import customer, operator, reader, text
from tests.integration.watching import silent

pytestmark = pytest.mark.django_db


def all_at_work() -> None:
    for queue in QUEUES:
        worker_beats(queue, queue, [], pool=2, memory=150 * 2**20)
    for role in "dispatcher", "beat", "watcher":
        process(role)
    silent("true", -600)  # none falls silent in a test that takes longer, on a busy machine


def test_only_staff_with_a_role_see_the_page():
    assert reader().get("/ops/").status_code == operator().get("/ops/").status_code == 200
    assert customer().get("/ops/").status_code == 403
    anonymous = Client().get("/ops/?span=day")
    assert (anonymous.status_code, anonymous.url) == (302, "/admin/login/?next=/ops/%3Fspan%3Dday")


def test_a_session_that_ended_leads_to_the_login_and_not_to_a_form_inside_the_page():
    response = Client().get("/ops/", headers={"HX-Request": "true"})
    assert response["HX-Redirect"] == "/admin/login/"


@pytest.mark.parametrize("debug", [False, True])
def test_an_unknown_address_and_a_missing_right_have_pages_of_the_operations(settings, debug):
    settings.DEBUG = debug
    for address in "/ops/nowhere/", f"/ops/jobs/{uuid.uuid4()}/", "/ops/pause/?what=queue:x", "/ops/schedules/7/run/":
        page = operator().get(address)
        assert (page.status_code, "Backroom operations" in page.content.decode()) == (404, True), address
    page = reader().get("/ops/schedules/7/run/")
    assert (page.status_code, "reader may look, but not act" in page.content.decode()) == (403, True)
    assert reader().get("/ops/jobs").headers["Location"] == "/ops/jobs/"
    assert Client().get("/ops/nowhere/").status_code == 302


def test_all_is_well():
    all_at_work()
    breaker.reset()
    page = text(reader().get("/ops/"))
    assert "All systems normal" in page
    assert "0 of 2 150 MiB" in page


def test_foreign_messages_are_bounded_shown_and_counted():
    all_at_work()
    before = foreign().samples[0].value
    assert "Foreign messages" not in re.sub(
        r"<section[^>]* hidden.*?</section>", "", reader().get("/ops/").text, flags=re.S
    )
    for number in range(KEPT + 5):
        keep(
            SimpleNamespace(delivery_info={"routing_key": "bulk"}, headers={"id": [number]}, body="\x00\ud800" * 9_000)
        )
    assert ForeignMessage.objects.count() == KEPT
    newest = ForeignMessage.objects.latest("id")
    assert len(newest.text) <= SHOWN
    page = text(reader().get("/ops/"))
    assert "A queue held messages that are no job" in page
    assert f"[{KEPT + 4}]" in page
    ForeignMessage.objects.exclude(id=newest.id).update(at=timezone.now() - timedelta(days=31))
    purge()
    assert ForeignMessage.objects.get() == newest
    ForeignMessage.objects.update(at=timezone.now() - timedelta(days=31))
    purge()
    assert not ForeignMessage.objects.exists()
    assert foreign().samples[0].value - before == KEPT + 5


@pytest.mark.parametrize(
    ("item", "shown"), [(b"it's", 'b"it\'s"'), (b"\xff", r"b'\xff'"), (b'[7, "x"]', "[7, 'x']"), (b'"x"', "x")]
)
def test_a_foreign_message_is_quoted_once(item, shown):
    _, payload = _readable((b"bulk", item))
    keep(Message(json.loads(payload), Connection("memory://").channel()))
    assert ForeignMessage.objects.latest("id").text == shown


def test_silence_a_queue_without_a_worker_late_jobs_and_dead_letters_are_said_first():
    all_at_work()
    Heartbeat.objects.filter(role="worker", name="bulk").update(
        seen_at=timezone.now() - timedelta(seconds=rescue.SILENCE + 1)
    )
    transitions.mark_dead(transitions.claim(noted.enqueue(), "default"), "Permanent: x")
    noted.enqueue()
    Job.objects.filter(state="ready").update(published_at=timezone.now() - timedelta(minutes=10))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM backroom_heartbeat WHERE role = 'beat'")
    page = text(reader().get("/ops/"))
    for words in (
        "Action needed",
        "No beat is running",
        "No worker serves queue bulk (0 ready).",
        "Queue default is late: its oldest job has been due for 10 min (objective 2 min, 1 ready).",
        "1 dead letter needs a decision.",
    ):
        assert words in page
    assert "No dispatcher" not in page


def test_a_count_stops_at_its_limit_says_so_and_hides_no_other_queue():
    """A full queue has jobs that are due for longer; the other one's single job has its age all the same."""
    truncate.rewrite("backroom_job")
    sample.fill(2_000)  # 40 dead letters and 10 scheduled jobs among them
    Job.objects.filter(state="succeeded", queue="bulk").update(state="ready")
    late = Job.objects.filter(state="succeeded", queue="critical").order_by("-id")[:1]
    Job.objects.filter(id__in=late.values("id")).update(state="ready", published_at=timezone.now())
    with CaptureQueriesContext(connection) as queries:
        found = levels(30)
    assert found["bulk"].shown("depth") == "30+"
    assert found["critical"].shown("depth") == "1"
    assert found["critical"].oldest_s > 0
    assert [level.more >= {"dead"} and level.shown("dead")[-1] for level in found.values()] == ["+", "+", "+"]
    assert {level.shown("later")[-1] for level in found.values()} <= set("0123456789")
    (plan,) = plans(queries)
    assert "Seq Scan on backroom_job" not in plan
    assert reads(plan) <= 31, plan  # the limit of the full queue, and the other queue's job


def test_a_task_that_ended_is_counted_with_its_times():
    for _ in range(3):
        transitions.succeed(transitions.claim(noted.enqueue(), "one"), None)
    transitions.mark_dead(transitions.claim(noted.enqueue(), "one"), "Permanent: x")
    assert "tests.noted 4 75.0 % 0 % 25.0 %" in text(reader().get("/ops/"))


@pytest.mark.parametrize(("span", "finished"), [("hour", 3), ("day", 5), ("week", 6)])
def test_the_tasks_have_figures_of_an_hour_a_day_and_a_week(span, finished):
    now = timezone.now()
    for age, count in (timedelta(days=5), 1), (timedelta(hours=9), 2), (timedelta(minutes=5), 1):
        finish(count, last_minute(now - age))
        rollups.write(QUEUES, now - age)
    finish(2, now)  # not written yet
    for address in f"/ops/?span={span}", f"/ops/tasks/?span={span}":
        page = text(reader().get(address))
        assert f"Tasks, the last {span}" in page
        assert f"tests.noted {finished} 100 %" in page


def test_the_hours_of_tasks_are_kept_for_a_week_and_purged():
    now = timezone.now()
    for days in 7, 9:
        TaskHour.objects.create(hour=now - timedelta(days=days), task="t", queue="default")
    rollups.purge()
    assert TaskHour.objects.count() == 1


def test_times_are_in_utc_wherever_the_project_is_and_the_page_says_so(settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    every = IntervalSchedule.objects.create(every=1, period="hours")
    entry = PeriodicTask.objects.create(name="far", task="t", interval=every)
    PeriodicTask.objects.filter(pk=entry.pk).update(last_run_at="2026-01-01T07:00Z", total_run_count=1)
    page = text(reader().get("/ops/"))
    assert "times in UTC" in page
    assert "far t Thu 1 Jan 07:00 overdue" in page


def test_each_line_of_a_chart_has_a_pattern_of_its_own():
    css = Path(finders.find("ops/ops.css")).read_text()
    patterns = [re.search(rf"^\.k{number} {{(?:.*dasharray: ([^;]*))?", css, re.MULTILINE) for number in range(1, 7)]
    assert len({found and found.group(1) for found in patterns}) == 6
    lines = charts.charts(charts.SPANS["hour"], timezone.now())[3].lines
    assert (
        len({re.search(rf"^\.{line.style} {{(?:.*dasharray: ([^;]*))?", css, re.MULTILINE).group(1) for line in lines})
        == 2
    )


def test_a_schedule_shows_its_last_and_next_run_when_it_is_overdue_and_what_becomes_of_missed_slots():
    every = IntervalSchedule.objects.create(every=1, period="hours")
    now = timezone.now().replace(second=30)  # no minute ends while the test looks
    skip = '{"missed_slots": "skip"}'
    rows = ("soon", 30, True, "{}"), ("late", 90, True, "{}"), ("off", 90, False, skip)
    for name, last, enabled, headers in rows:
        entry = PeriodicTask.objects.create(name=name, task="t", interval=every, enabled=enabled, headers=headers)
        PeriodicTask.objects.filter(pk=entry.pk).update(last_run_at=now - timedelta(minutes=last), total_run_count=1)
    page = text(reader().get("/ops/"))
    at = now + timedelta(minutes=30)
    assert f"soon t {now - timedelta(minutes=30):%a %-d %b %H:%M} {at:%a %-d %b %H:%M} once late" in page
    assert f"late t {now - timedelta(minutes=90):%a %-d %b %H:%M} overdue once late" in page
    assert f"off t {now - timedelta(minutes=90):%a %-d %b %H:%M} paused skip" in page


def test_a_new_schedule_counts_from_its_change_runs_first_at_its_start_and_not_after_its_end():
    every = IntervalSchedule.objects.create(every=1, period="hours")
    now = timezone.now().replace(second=30)
    for name, times in {"new": {}, "later": {"start_time": now + timedelta(days=2)}, "short": {"expires": now}}.items():
        entry = PeriodicTask.objects.create(name=name, task="t", interval=every, **times)
        PeriodicTask.objects.filter(pk=entry.pk).update(date_changed=now - timedelta(minutes=20))
    page = text(reader().get("/ops/"))
    assert f"new t never {now + timedelta(minutes=40):%a %-d %b %H:%M}" in page
    assert f"later t never {now + timedelta(days=2):%a %-d %b %H:%M}" in page
    assert "short t never ended" in page


def test_an_open_breaker_is_said_and_shown_with_its_partner():
    breaker.reset()
    assert "warehouse closed 0 - 100" in text(reader().get("/ops/"))
    for number in range(breaker.THRESHOLD):
        with suppress(Exception), breaker.guard("warehouse", f"shipment:{number}", lease=5):
            raise PartnerUnavailable("no")
    page = text(reader().get("/ops/"))
    assert "Calls of warehouse fail (since " in page
    assert "warehouse open fails since" in page
    breaker.reset()


def test_a_dead_process_is_shown_until_a_successor_of_its_role_starts_on_its_machine():
    died, elsewhere = process("watcher"), Heartbeat.objects.create(role="watcher", name="another-machine/1")
    Heartbeat.objects.exclude(role="worker").update(
        started_at=timezone.now() - timedelta(hours=1), seen_at=timezone.now() - timedelta(minutes=5)
    )
    assert {each.name for each in stats.snapshot(60).processes} == {died.name, elsewhere.name}
    successor = process("watcher")
    assert {each.name for each in stats.snapshot(60).processes} == {successor.name, elsewhere.name}


def test_polling_gets_the_part_that_changes_and_charts_on_their_own():
    part = reader().get("/ops/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert 'hx-swap-oob="true"' in part
    for span in "hour", "day", "week", "nonsense":
        assert "Latency" in text(reader().get("/ops/history/", {"span": span}))


@pytest.fixture
def full_ledger() -> None:
    """100,000 jobs of eight days, most of them done, with all that comes with them."""
    truncate.rewrite("backroom_job")
    sample.fill(100_000)


def plans(queries: CaptureQueriesContext) -> list[str]:
    """PostgreSQL's plan of each statement that reads the ledger."""
    found = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            if any(f"backroom_{table}" in query["sql"] for table in ("job", "attempt", "progress")) and query[
                "sql"
            ].lstrip().startswith(("SELECT", "WITH")):
                cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF) {query['sql']}")
                found.append("\n".join(line for (line,) in cursor.fetchall()))
    return found


def reads(plan: str) -> int:
    """How many rows of the ledger's tables its greediest step has read, those that it threw away included. (What a
    scan removes is said on the lines below it, before the next step.)"""
    most = 0
    for step in re.split(r"\n +->", plan):
        ran = re.search(r"Scan.* on backroom_(?:job|attempt|progress)\b.*actual rows=([\d.]+) loops=(\d+)", step)
        if ran:
            rows, loops = ran.groups()
            removed = sum(map(int, re.findall(r"Rows Removed by \D+: (\d+)", step)))
            most = max(most, round((float(rows) + removed) * int(loops)))
    return most


GROUP = "task=orders.request_shipment&cause=Permanent:+shipment+of+order+%23+was+refused"
PAGES = {  # how often each asks about jobs
    "/ops/": 6,
    "/ops/history/?span=week": 0,
    "/ops/tasks/?span=hour": 1,
    "/ops/tasks/?span=week": 1,
    "/metrics?only=jobs": 3,
    "/ops/jobs/": 1,
    "/ops/jobs/?state=ready": 2,
    "/ops/jobs/?state=retrying": 1,
    "/ops/jobs/?state=retrying&error=refused": 2,
    "/ops/jobs/?state=scheduled&begin=2020-01-01T00:00": 2,
    "/ops/jobs/?state=behind": 2,
    "/ops/jobs/?state=parked": 2,
    "/ops/jobs/?state=running&worker=one": 2,
    "/ops/jobs/?state=dead&task=orders.request_shipment": 1,
    "/ops/jobs/?state=dead&error=nothing": 2,
    "/ops/jobs/?state=dead&begin=2020-01-01T00:00&end=2099-01-01T00:00": 1,
    "/ops/jobs/?state=cancelled": 2,
    "/ops/jobs/?state=succeeded&task=nothing": 2,
    "/ops/jobs/?begin=2020-01-01T00:00&end=2099-01-01T00:00&error=nothing&worker=no": 2,
    "/ops/jobs/?queue=bulk": 1,
    "/ops/jobs/?q=14711": 2,
    "/ops/jobs/?q=14711&state=succeeded": 2,
    "/ops/jobs/?q=receipt:147*": 2,
    "/ops/jobs/?q=receipt:*&task=orders.mail_receipt": 1,
    "/ops/jobs/?q=*&task=lab.poison&state=dead": 2,
    "/ops/dead/": 1,
    "/ops/alerts/": 0,
    f"/ops/dead/?{GROUP}": 3,
    f"/ops/act/?verb=replay&{GROUP}": 5,
    f"/ops/act/?verb=cancel&{GROUP}": 4,
    "/ops/act/?verb=try&all=1&found=state%3Dretrying": 5,
    "/ops/act/?verb=cancel&all=1&found=error%3Drefused%26task%3Dorders.mail_receipt": 4,
    "/ops/pause/?what=queue:bulk": 3,
    "/ops/resume/?what=task:orders.mail_receipt": 3,
    "/ops/actions/": 0,
}
OF_ONE_JOB = {"/ops/jobs/{}/": 6, "/ops/jobs/{}/edit/": 1, "/ops/jobs/?q={}": 2, "/ops/act/?verb=replay&id={}": 4}


def test_no_page_reads_the_ledger_from_end_to_end(full_ledger):
    rollups.write(QUEUES)
    client = operator()
    audit_log.pause("task:orders.mail_receipt", "operator", "a test")
    job = Job.objects.filter(state="dead").order_by("id")[1000]
    addresses = PAGES | {address.format(job.id): asks for address, asks in OF_ONE_JOB.items()}
    asked = [(address, {}, asks) for address, asks in addresses.items()]
    wrong = []
    for address, headers, asks in [*asked, ("/ops/", {"HX-Request": "true"}, PAGES["/ops/"])]:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address, headers=headers).status_code == 200, address
        found = plans(queries)
        if len(found) != asks or len(queries) >= 20:
            wrong.append(f"{address}: {len(found)} statements about jobs, of {len(queries)}, instead of {asks}")
        wrong += [f"{address}\n{plan}" for plan in found if "Seq Scan on backroom_job" in plan or reads(plan) > LOOK]
    assert not wrong, "\n".join(wrong)
