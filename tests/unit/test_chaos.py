"""The crash matrix itself: which results break a promise, and that no fault is left out."""

import dataclasses
from collections import Counter

from lab.faults import CHECKLIST, LEDGERED, NAIVE
from partners.faults import Faults
from tests.chaos.document import TITLES, document
from tests.chaos.result import Result
from tests.chaos.rows import ALL, FAULTS


def result(**more) -> Result:
    ours = Result("web", "after commit A", "SIGKILL", LEDGERED, 20, 0, seconds=5.0, idle=True)
    return dataclasses.replace(ours, **more)


def written(*results: Result) -> str:
    about = {"place": 0, "shops": [LEDGERED, NAIVE]}
    return document([dataclasses.asdict(one) | about | {"broken": one.broken} for one in results], 1)


def test_a_lost_duplicated_unexpected_late_or_unfinished_effect_breaks_a_promise():
    assert result().broken == []
    broken = [result(lost=1), result(twice=1), result(stray=1), result(seconds=21.0), result(seconds=None)]
    broken += [result(idle=False), result(expected=7, found=6)]  # an unfinished effect is not lost, but missing
    assert all(one.broken for one in broken)


def test_the_written_limit_allows_its_number_and_no_more():
    assert result(twice=1, allowed=1).broken == []
    assert result(twice=2, allowed=1).broken == ["2 twice"]


def test_the_totals_name_each_broken_promise():
    assert "Broken promises:" not in written(result())
    assert "- web, after commit A, SIGKILL: 1 lost" in written(result(lost=1))


def test_the_results_without_a_ledger_stand_beside_it():
    naive, checklist = (
        result(shop=NAIVE, lost=7, expected=42, found=35),
        result(shop=CHECKLIST, twice=1, expected=35, found=35),
    )
    assert "| **1 twice** of 35 | **7 lost** of 42 |" in written(result(), naive, checklist)
    assert "| checklist | 1 | 0 | 35 | 0 | 1 | 0 |" in written(result(), naive, checklist)


def test_a_row_that_a_shop_does_not_run_has_a_dash_and_one_that_is_missing_says_so():
    assert "| - | not run |" in written(result())


def test_without_a_ledger_an_order_with_messages_is_unfinished_and_not_lost():
    for idle in (False, True):  # with a message that waits, or with one that a dead worker has
        late = result(shop=NAIVE, idle=idle, lost=2, expected=28, found=17)
        assert "| **2 lost, 9 unfinished** of 28 |" in written(result(), late)


def test_the_checklist_runs_the_rows_of_workers_and_servers_and_each_step_of_the_web_once():
    rows = [row for row in ALL if CHECKLIST in row.shops]
    parts = Counter(row.part for row in rows)
    assert parts == {"web": 7, "worker": 31, "beat": 7, "broker": 6, "database": 3}
    assert {row.boundary for row in rows if row.part == "web"} == {row.boundary for row in ALL if row.part == "web"}


def test_every_fault_of_a_partner_has_a_row():
    """Those of its webhooks reach no order's effect."""
    switches = {name for fault in FAULTS.values() for name in fault}
    assert switches == {name for name in Faults.model_fields if not name.startswith("webhook_")}


def test_row_names_are_unique():
    assert len({row.id for row in ALL}) == len(ALL)


def test_the_document_has_a_title_for_the_part_of_each_row():
    assert {row.part.partition(" ")[0] for row in ALL} == set(TITLES)
