"""The first operations page: who sees it, what it says, and what it costs the database."""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from jobs import breaker, history, ledger, rescue
from jobs.errors import PartnerUnavailable
from jobs.models import Job, Worker
from jobs.signs import Sign
from tests.integration.staff import customer, operator, reader, text
from tests.integration.test_history import noted

pytestmark = pytest.mark.django_db


def all_at_work() -> None:
    for queue in "bulk", "critical", "default":
        rescue.see_worker(queue, queue, [], pool=2, memory=150 * 2**20)
    for role in "dispatcher", "beat", "watcher":
        Sign(role).give()


def test_only_staff_with_a_role_see_the_page():
    assert reader().get("/ops/").status_code == operator().get("/ops/").status_code == 200
    assert customer().get("/ops/").status_code == 403
    anonymous = Client().get("/ops/?span=day")
    assert (anonymous.status_code, anonymous.url) == (302, "/admin/login/?next=/ops/%3Fspan%3Dday")


def test_who_is_logged_out_meanwhile_is_led_to_the_login_not_shown_it_within_the_page():
    response = Client().get("/ops/", headers={"HX-Request": "true"})
    assert response["HX-Redirect"] == "/admin/login/"


def test_all_is_well():
    all_at_work()
    breaker.reset()
    page = text(reader().get("/ops/"))
    assert "The back room is healthy" in page
    assert "0 of 2 150 MiB" in page


def test_silence_a_queue_without_a_worker_late_jobs_and_dead_letters_are_said_first():
    all_at_work()
    Worker.objects.filter(name="bulk").update(seen_at=timezone.now() - timedelta(seconds=rescue.SILENCE + 1))
    ledger.bury(ledger.claim(noted.enqueue(), "default"), "Permanent: x")
    noted.enqueue()
    Job.objects.filter(state="ready").update(published_at=timezone.now() - timedelta(minutes=10))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_process WHERE role = 'beat'")
    page = text(reader().get("/ops/"))
    for words in (
        "The back room needs you",
        "No beat is at work",
        "No worker serves the queue bulk (0 to run now).",
        "The oldest job of the queue default has been due for 10 min, over its objective of 2 min (1 to run now).",
        "1 dead letter wait",
    ):
        assert words in page
    assert "No dispatcher" not in page


def test_a_task_that_ended_is_counted_with_its_times():
    for _ in range(3):
        ledger.succeed(ledger.claim(noted.enqueue(), "one"), None)
    ledger.bury(ledger.claim(noted.enqueue(), "one"), "Permanent: x")
    assert "tests.noted 4 75.0 % 0 % 25.0 %" in text(reader().get("/ops/"))


def test_a_schedule_shows_its_last_and_next_run_and_when_it_is_overdue():
    every = IntervalSchedule.objects.create(every=1, period="hours")
    now = timezone.now()
    for name, last, enabled in ("soon", 30, True), ("late", 90, True), ("off", 90, False):
        entry = PeriodicTask.objects.create(name=name, task="t", interval=every, enabled=enabled)
        PeriodicTask.objects.filter(pk=entry.pk).update(last_run_at=now - timedelta(minutes=last))
    page = text(reader().get("/ops/"))
    at = now + timedelta(minutes=30)
    assert f"soon t {now - timedelta(minutes=30):%a %H:%M} {at:%a %H:%M}" in page
    assert f"late t {now - timedelta(minutes=90):%a %H:%M} overdue" in page
    assert f"off t {now - timedelta(minutes=90):%a %H:%M} off" in page


def test_an_open_breaker_is_said_and_shown_with_its_partner():
    breaker.reset()
    assert "warehouse closed 0 - 100" in text(reader().get("/ops/"))
    for number in range(breaker.THRESHOLD):
        with suppress(Exception), breaker.guard("warehouse", f"shipment:{number}", lease=5):
            raise PartnerUnavailable("no")
    page = text(reader().get("/ops/"))
    assert "The breaker of warehouse is open" in page
    assert "warehouse open since" in page
    breaker.reset()


def test_polling_gets_the_part_that_changes_and_charts_on_their_own():
    part = reader().get("/ops/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert 'hx-swap-oob="true"' in part
    for span in "hour", "day", "week", "nonsense":
        assert "Age of the oldest" in text(reader().get("/ops/history/", {"span": span}))


@pytest.fixture
def full_ledger() -> None:
    """100,000 jobs of eight days, most of them done, and the planner knows it."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(
            """
            INSERT INTO jobs_job (id, task, queue, args, key, max_attempts, takes_result, state, run_at, published_at,
                                  created_at, started_at, finished_at, claims, attempts, worker, error)
            SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
                    || '8' || substr(md5(n::text), 4, 15))::uuid,
                   'tests.task_' || n % 15, (ARRAY['bulk', 'critical', 'default'])[n % 3 + 1],
                   jsonb_build_object('number', n), 'number:' || n, 8, '', state,
                   CASE WHEN state = 'waiting' THEN at END, at, at, at,
                   CASE WHEN state IN ('succeeded', 'dead') THEN at END, 1, 1, 'one',
                   CASE WHEN state = 'dead' THEN E'Permanent: order ' || n || E' is gone\n' || repeat('trace ', 300)
                        ELSE '' END
            FROM (SELECT n, now() - (100000 - n) * interval '7 seconds' AS at,
                         CASE WHEN n % 50 = 0 THEN 'dead' WHEN n % 200 = 1 THEN 'waiting' ELSE 'succeeded' END AS state
                  FROM generate_series(1, 100000) n) jobs
            """
        )
        cursor.execute("SELECT brin_summarize_new_values('jobs_finished')")
        cursor.execute("ANALYZE jobs_job")


def plans(queries: CaptureQueriesContext) -> list[str]:
    """How PostgreSQL goes about each statement that touches the ledger."""
    found = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            if "jobs_job" in query["sql"] and query["sql"].lstrip().startswith(("SELECT", "WITH")):
                cursor.execute(f"EXPLAIN {query['sql']}")
                found.append("\n".join(line for (line,) in cursor.fetchall()))
    return found


PAGES = {  # how often each asks the ledger
    "/ops/": 3,
    "/ops/history/?span=week": 0,
    "/metrics?only=jobs": 2,
    "/ops/jobs/": 1,
    "/ops/jobs/?state=dead&task=tests.task_5": 1,
    "/ops/jobs/?state=succeeded&task=tests.task_99": 2,
    "/ops/jobs/?q=4711": 1,
    "/ops/jobs/?q=number:47*": 1,
    "/ops/dead/": 1,
    "/ops/alerts/": 0,
    "/ops/dead/?task=tests.task_5&cause=Permanent:+order+%23+is+gone": 3,
}


def test_no_page_reads_the_ledger_from_end_to_end(full_ledger):
    history.write(["bulk", "critical", "default"])
    client = reader()
    job = Job.objects.order_by("id")[50_000]
    for address, asks in {**PAGES, f"/ops/jobs/{job.id}/": 3}.items():
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        assert len(queries) < 20
        found = plans(queries)
        assert len(found) == asks, address
        for plan in found:
            assert "Seq Scan on jobs_job" not in plan, f"{address}\n{plan}"
