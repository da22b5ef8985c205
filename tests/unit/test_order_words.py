"""How the order's page words and draws durations and countries."""

import re
from types import SimpleNamespace

import pytest

from orders.models import Order
from orders.templatetags.orders import duration, longest, span


def row(kind: str = "invoice", wait: int | None = 0, run: int | None = 0, attempts: int = 1) -> SimpleNamespace:
    return SimpleNamespace(kind=kind, wait_ms=wait, run_ms=run, attempts=attempts)


@pytest.mark.parametrize(
    ("milliseconds", "written"),
    [
        (None, ""),
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (59_949, "59.9 s"),
        (60_000, "1 min 0 s"),
        (125_999, "2 min 5 s"),
    ],
)
def test_a_duration_is_written_in_the_unit_that_suits_it(milliseconds, written):
    assert duration(milliseconds) == written


def bars(drawn: str) -> list[tuple[float, float]]:
    """(start, width) of the bars drawn, in per cent."""
    return [
        (float(x or 0), float(width))
        for x, width in re.findall(r'<rect[^>]*?(?: x="([\d.]+)")? width="([\d.]+)"', drawn)
    ]


def test_a_job_is_drawn_where_it_waited_and_where_it_ran():
    assert bars(span(row(wait=50, run=25), 100)) == [(0, 50), (50, 25)]


def test_what_took_no_time_is_still_to_be_seen_and_nothing_starts_beyond_the_edge():
    (_, waited), (start, width) = bars(span(row(wait=90_000, run=0), 100))
    assert (waited, start) == (98.8, 98.8)
    assert width > 1


def test_a_job_that_has_not_finished_has_no_bar():
    assert bars(span(row(wait=5, run=None), 100)) == []


def test_one_that_waited_for_the_bank_or_for_another_try_doesnt_squeeze_the_others():
    rows = [row("settle", 60_000, 10), row("shipment", 30_000, 10, attempts=3), row("invoice", 20, 300)]
    assert longest(rows) == 320
    assert longest([]) == 0


def test_a_country_is_shown_by_its_name():
    assert Order(country="PL").country_name == "Poland"
    assert Order(country="XX").country_name == "XX"
