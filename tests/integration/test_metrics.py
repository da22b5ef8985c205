"""`/metrics`: who may read it, what it says, and that no count goes backwards, whatever is purged or dies."""

import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import DataError, connection
from django.test import Client
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from backroom.ledger import operations, transitions
from backroom.ledger.models import Attempt, Heartbeat, Job, Pause
from backroom.ops import rollups
from backroom.ops.models import Alert, QueueMinute, TaskMinute
from backroom.outbound import breaker
from backroom.outbound.errors import PartnerUnavailable
from shop import request_metrics
from tests.integration.broker import broker_at
from tests.integration.heartbeats import process, worker_beats
from tests.integration.minutes import QUEUES, finished, last_minute, noted
from tests.integration.scraping import TOKEN, Scrape, families, get
from tests.integration.sick_database import away
from tests.integration.staff import customer, reader

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _token(settings: LazySettings) -> None:
    settings.METRICS_TOKEN = TOKEN


def test_only_the_token_and_staff_that_may_look_get_anything():
    assert get().status_code == reader().get("/metrics").status_code == 200
    for client, headers in [
        (Client(), {}),
        (customer(), {}),
        (Client(), {"Authorization": "Bearer wrong"}),
        (Client(), {"Authorization": "Bearer "}),
        (Client(), {"Authorization": f"Basic {TOKEN}"}),
        (reader(), {"Authorization": "Bearer wrong"}),
    ]:
        response = client.get("/metrics", headers=headers)
        assert (response.status_code, b"backroom" in response.content) == (401, False)


def test_where_no_token_is_set_none_opens_it(settings: LazySettings):
    settings.METRICS_TOKEN = ""
    for token in "", " ", TOKEN:
        assert Client().get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_both_of_prometheus_formats_are_well_formed():
    now = timezone.now()
    finished(1, last_minute(now))
    rollups.write(QUEUES, now)
    assert {family.name for family in families()} > {"backroom_queue_jobs", "backroom_job_run_seconds"}
    response = get(Accept="application/openmetrics-text; version=1.0.0")
    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert {"backroom_job_attempts"} < {family.name for family in parse_openmetrics(response.content.decode())}


def test_each_metric_says_what_it_counts_and_has_our_prefix():
    now = timezone.now()
    finished(1, last_minute(now))
    rollups.write(QUEUES, now)
    worker_beats("bulk@host/0123abcd", "bulk", [], pool=2, memory=1)
    process("beat")
    Client().get("/")
    found = list(families())
    assert len(found) >= 23
    assert [family.name for family in found if len(family.documentation) < 10] == []
    assert [family.name for family in found if not family.name.startswith("backroom_")] == []


def test_it_comes_in_two_parts_so_that_many_machines_are_not_counted_many_times():
    Client().get("/")
    names = {part: {family.name for family in families(f"?only={part}")} for part in ("web", "jobs")}
    assert names["web"] == {"backroom_http_request_duration_seconds", "backroom_security_events"}
    assert names["web"] | names["jobs"] == {family.name for family in families()}
    assert get("?only=nonsense").status_code == 400


def test_each_queue_has_its_jobs_and_ages_also_when_it_is_empty():
    dead, running, late = noted.enqueue(), noted.enqueue(), noted.enqueue()
    transitions.mark_dead(transitions.claim(dead, "one"), "Permanent: x")
    transitions.claim(running, "one")
    noted.using(run_after=timedelta(hours=1)).enqueue()
    noted.using(run_after=timedelta(seconds=-9)).enqueue()
    ago = timezone.now() - timedelta(minutes=10)
    Job.objects.filter(id=late).update(published_at=ago)
    Job.objects.filter(id=running).update(started_at=ago)
    scrape = Scrape()
    counts = {state: scrape("queue_jobs", queue="default", state=state) for state in ("ready", "due", "later")}
    assert counts == {"ready": 1, "due": 1, "later": 1}
    assert scrape("queue_jobs", queue="default", state="running") == 1
    assert scrape("queue_jobs", queue="default", state="dead") == 1
    assert 600 <= scrape("queue_oldest_seconds", queue="default") < 620
    assert 600 <= scrape("queue_longest_run_seconds", queue="default") < 620
    assert scrape("queue_jobs", queue="bulk", state="ready") == scrape("queue_oldest_seconds", queue="bulk") == 0


def test_counts_go_on_when_the_rows_that_they_count_are_purged():
    now = timezone.now()
    finished(3, last_minute(now))
    finished(1, last_minute(now), error="Permanent: x")
    assert Scrape()("job_attempts_total", task="tests.noted", queue="default", outcome="succeeded") is None
    rollups.write(QUEUES, now)
    before = Scrape()
    assert before("job_attempts_total", task="tests.noted", queue="default", outcome="succeeded") == 3
    assert before("job_attempts_total", task="tests.noted", queue="default", outcome="dead") == 1
    Job.objects.update(finished_at=timezone.now() - timedelta(days=9))
    TaskMinute.objects.update(minute=timezone.now() - timedelta(days=9))
    QueueMinute.objects.update(minute=timezone.now() - timedelta(days=9))
    operations.purge(days=1)
    rollups.purge()
    assert not TaskMinute.objects.exists()
    after = Scrape()
    counted = [place for place in before.samples if place[0].endswith(("_total", "_bucket", "_count", "_sum"))]
    assert len(counted) > 40
    assert [place for place in counted if after.samples[place] < before.samples[place]] == []


def test_times_are_a_histogram_as_prometheus_has_it():
    now = timezone.now()
    finished(4, last_minute(now))  # each waited for two seconds and ran for one
    rollups.write(QUEUES, now)
    scrape, labels = Scrape(), {"task": "tests.noted", "queue": "default"}
    for name, below, above, total in ("wait", "1.024", "2.048", 8.0), ("run", "0.512", "1.024", 4.0):
        assert scrape(f"job_{name}_seconds_bucket", le=below, **labels) == 0
        assert scrape(f"job_{name}_seconds_bucket", le=above, **labels) == 4
        assert scrape(f"job_{name}_seconds_bucket", le="+Inf", **labels) == 4
        assert scrape(f"job_{name}_seconds_count", **labels) == 4
        assert math.isclose(scrape(f"job_{name}_seconds_sum", **labels), total)
    edges = {dict(place[1])["le"] for place in scrape.samples if place[0] == "backroom_job_run_seconds_bucket"}
    upto = [scrape("job_run_seconds_bucket", le=edge, **labels) for edge in sorted(edges, key=float)]
    assert upto == sorted(upto)


def test_an_attempt_that_was_refused_before_it_began_has_no_times():
    now = timezone.now()
    id = finished(1, last_minute(now), error="Permanent: its task is unknown")[0]
    Attempt.objects.filter(job_id=id).update(started_at=None)
    rollups.write(QUEUES, now)
    scrape, labels = Scrape(), {"task": "tests.noted", "queue": "default"}
    assert scrape("job_attempts_total", outcome="dead", **labels) == 1
    assert scrape("job_run_seconds_count", **labels) == scrape("job_wait_seconds_count", **labels) == 0


def test_jobs_that_expired_are_counted_and_have_no_times():
    late = noted.using(expires=timedelta(microseconds=1)).enqueue()
    cancelled = noted.enqueue()
    transitions.claim(late, "one")
    operations.cancel(ids=[cancelled], why="not wanted")
    now = timezone.now()
    Job.objects.update(finished_at=last_minute(now))
    rollups.write(QUEUES, now)
    scrape, labels = Scrape(), {"task": "tests.noted", "queue": "default"}
    assert scrape("job_expired_total", **labels) == 1
    assert scrape("job_wait_seconds_count", **labels) == scrape("job_attempts_total", outcome="dead", **labels) == 0


@pytest.mark.django_db(transaction=True)
def test_a_minute_that_is_written_in_part_is_not_counted_twice():
    """A dispatcher that dies in the midst leaves nothing; here its last statement fails."""
    now = timezone.now()
    finished(5, last_minute(now))
    with pytest.raises(DataError):
        rollups.write(["a name that is too long for a queue" * 3], now)
    assert not TaskMinute.objects.exists()
    rollups.write(QUEUES, now)
    assert Scrape()("job_attempts_total", task="tests.noted", queue="default", outcome="succeeded") == 5


def test_of_a_restarted_worker_only_the_new_one_is_exposed():
    worker_beats("critical@host/0123abcd", "critical", [], pool=2, memory=1)
    Heartbeat.objects.filter(role="worker").update(seen_at=timezone.now() - timedelta(seconds=30))
    worker_beats("critical@host/4567cdef", "critical", [], pool=2, memory=150 * 2**20)
    transitions.claim(noted.enqueue(), "critical@host/4567cdef")
    scrape = Scrape()
    assert scrape("queue_workers", queue="critical") == 1
    assert scrape("queue_workers", queue="bulk") == 0
    assert scrape("worker_seen_seconds", worker="critical@host") < 5
    assert scrape("worker_memory_bytes", worker="critical@host") == 150 * 2**20
    assert (scrape("worker_busy", worker="critical@host"), scrape("worker_pool_size", worker="critical@host")) == (1, 2)


def test_processes_without_a_recent_heartbeat_are_not_alive():
    process("dispatcher")
    process("dispatcher")
    Heartbeat.objects.filter(name=Heartbeat.objects.first().name).update(seen_at=timezone.now() - timedelta(seconds=60))
    scrape = Scrape()
    assert (scrape("processes", role="dispatcher"), scrape("processes", role="beat")) == (1, 0)
    assert scrape("process_seen_seconds", role="dispatcher") < 5
    assert scrape("process_seen_seconds", role="beat") is None


def test_a_watcher_that_waits_for_a_mail_server_is_alive_for_longer():
    process("watcher")
    for silent, alive in (50, 1), (70, 0):
        Heartbeat.objects.exclude(role="worker").update(seen_at=timezone.now() - timedelta(seconds=silent))
        assert Scrape()("processes", role="watcher") == alive


def test_open_alerts_are_counted_by_rule():
    now = timezone.now()
    for subject, fired, over in ("bulk", now, None), ("critical", now, now), ("default", None, None):
        Alert.objects.create(rule="queue-late", subject=subject, says="s", fired_at=fired, recovered_at=over)
    scrape = Scrape()
    assert (scrape("alerts", rule="queue-late"), scrape("alerts", rule="beat-silent")) == (1, 0)


def test_pauses_and_breakers_are_exposed():
    Pause.objects.create(what="queue:bulk", who="o", why="w")
    Pause.objects.create(what="task:tests.noted", who="o", why="w")
    for number in range(breaker.THRESHOLD):
        with suppress(Exception), breaker.guard("warehouse", f"shipment:{number}", lease=5):
            raise PartnerUnavailable("no")
    scrape = Scrape()
    assert [scrape("queue_paused", queue=queue) for queue in ("bulk", "critical")] == [1, 0]
    assert scrape("paused_tasks") == 1
    states = {state: scrape("breaker_state", partner="warehouse", state=state) for state in ("closed", "open")}
    assert states == {"closed": 0, "open": 1}
    assert 0 < scrape("breaker_open_seconds", partner="warehouse") < 5
    assert scrape("breaker_open_seconds", partner="fraud") == 0
    assert scrape("broker_up") == 1


@pytest.mark.django_db(transaction=True)
def test_without_database_and_broker_it_says_so_and_still_counts_requests():
    Client().get("/")
    with away(), broker_at("redis://127.0.0.1:9/0"):
        scrape = Scrape()
    assert (scrape("ledger_up"), scrape("broker_up")) == (0, 0)
    assert scrape("http_request_duration_seconds_count", route="/", method="GET", status="2xx") > 0
    assert scrape("queue_jobs", queue="default", state="ready") is None


def test_a_scrape_that_takes_too_long_is_cancelled():
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("10s",)
        get()
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("2s",)  # until the end of the transaction, which is this test's


def test_requests_are_counted_by_route_method_and_status_but_not_those_of_machines():
    def counted() -> dict[tuple[str, str, str], float]:
        name, found = "backroom_http_request_duration_seconds_count", Scrape("?only=web").samples.items()
        labels = [(dict(place[1]), value) for place, value in found if place[0] == name]
        return {(of["route"], of["method"], of["status"]): value for of, value in labels}

    before = counted()
    client = Client()
    client.get("/")
    client.get("/orders/1/")
    client.get("/no-such-page/")
    client.generic("MADE-UP", "/api/products")
    client.generic("MADE-UP-TOO", "/api/products")
    for path in "/healthz", "/readyz", "/metrics":
        client.get(path)
    added = {place: value - before.get(place, 0) for place, value in counted().items()}
    assert {place: n for place, n in added.items() if n} == {
        ("/", "GET", "2xx"): 1,
        ("/orders/<int:number>/", "GET", "4xx"): 1,
        ("none", "GET", "4xx"): 1,
        ("/api/products", "other", "4xx"): 2,
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_machine_may_ask_by_the_address_of_a_pod(path: str):
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "10.4.2.17:8000"}
    assert Client().get(path, headers=headers).status_code == 200
    assert Client().get("/", headers=headers).status_code == 400


@pytest.fixture
def nowhere(settings: LazySettings, tmp_path: Path) -> Iterator[None]:
    """A folder for counts that can't be made."""
    (tmp_path / "file").touch()
    settings.METRICS_DIR = tmp_path / "file" / "metrics"
    request_metrics._metrics.cache_clear()
    yield
    request_metrics._metrics.cache_clear()


def test_where_requests_cannot_be_counted_the_shop_answers_and_the_rest_is_exposed(nowhere: None):
    assert Client().get("/").status_code == 200
    assert {family.name for family in families("?only=web")} == set()
    assert Scrape()("ledger_up") == 1
