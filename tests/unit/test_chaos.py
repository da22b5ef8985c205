"""The crash matrix itself: what it must notice, and that it leaves nothing out."""

import dataclasses

from partners.faults import Faults
from tests.chaos.document import document
from tests.chaos.rows import ALL, FAULTS
from tests.chaos.run import Result


def result(**more) -> Result:
    return dataclasses.replace(
        Result("web", "after commit A", "SIGKILL", False, 20, 0, seconds=5.0, quiet=True), **more
    )


def told(*results: Result) -> str:
    about = {"place": 0, "comparable": True}
    return document([dataclasses.asdict(one) | about | {"broken": one.broken} for one in results], 1)


def test_what_is_lost_done_twice_stray_late_or_never_finished_breaks_a_promise():
    assert result().broken == []
    broken = [result(lost=1), result(twice=1), result(stray=1), result(seconds=21.0), result(seconds=None)]
    broken += [result(quiet=False), result(expected=7, found=6)]  # what is still under way is not lost, but not done
    assert all(one.broken for one in broken)


def test_the_written_limit_allows_so_many_and_no_more():
    assert result(twice=1, allowed=1).broken == []
    assert result(twice=2, allowed=1).broken == ["2 twice"]


def test_a_broken_promise_is_told_in_the_sum():
    assert "Broken promises:" not in told(result())
    assert "- web, after commit A, SIGKILL: 1 lost" in told(result(lost=1))


def test_what_a_fault_does_without_a_ledger_stands_beside_it():
    assert "| **7 lost** of 42 |" in told(result(), result(naive=True, lost=7, expected=42))


def test_what_is_still_in_hand_without_a_ledger_is_unfinished_and_not_lost():
    late = result(naive=True, quiet=False, lost=2, expected=28, found=17)
    assert "| **2 lost, 9 unfinished** of 28 |" in told(result(), late)


def test_every_fault_of_a_partner_has_a_row():
    switches = {name for fault in FAULTS.values() for name in fault}
    assert switches == Faults.model_fields.keys()


def test_no_two_rows_have_one_name():
    assert len({row.id for row in ALL}) == len(ALL)
