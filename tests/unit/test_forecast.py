"""When a queue will be empty."""

from datetime import UTC, datetime, timedelta

from backroom.ops.levels import Level
from backroom.ops.pages.overview import drains, forecast
from backroom.ops.stats import Queue

NOW = datetime(2026, 3, 1, 14, 0, tzinfo=UTC)


def ago(**depths: int) -> list[tuple[datetime, int]]:
    """Depths by minutes ago, as m5=100."""
    return sorted((NOW - timedelta(minutes=int(name[1:])), depth) for name, depth in depths.items())


def test_it_goes_on_as_it_did_since_the_queue_was_fullest():
    assert forecast(400, ago(m9=0, m4=800, m2=600), NOW) == "empty at 14:04"


def test_a_queue_that_is_as_full_as_ever_is_growing():
    assert forecast(400, ago(m2=100, m1=300), NOW) == "growing"


def test_a_queue_without_a_worker_gets_no_forecast():
    assert forecast(34, ago(m3=34, m1=34), NOW) == "not moving"
    assert drains(Queue("bulk", Level("bulk", ready=34), 0, None), ago(m3=80), NOW) == "no worker"
    assert drains(Queue("bulk", Level("bulk"), 0, None), ago(m3=80), NOW) == "empty"
    assert drains(Queue("bulk", Level("bulk", ready=2, parked=9), 1, None), ago(m3=80), NOW) == "jobs are parked"


def test_nothing_is_said_without_a_sample_and_nothing_foolish_about_a_crawl():
    assert forecast(0, [], NOW) == "empty"
    assert forecast(5, [], NOW) == "not known yet"
    assert forecast(1_000_000, ago(m1=1_000_001), NOW) == "in over a day"
