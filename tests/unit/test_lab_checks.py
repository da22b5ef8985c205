"""An experiment on the naive shop counts as seen only if what its card states came about."""

import pytest

from lab.checks import AT_ONCE, lost, nothing_missing, somebody_waited, something_lost, without_ledger
from lab.context import NotSeen
from lab.faults.effects import Tally

WHOLE = Tally(orders=1, expected=7, found=7)
SHIPMENT_LOST = Tally(orders=1, expected=7, found=6, lost=[{"key": "shipment:1001"}])
TWICE = Tally(orders=1, expected=7, found=7, twice=[{"key": "receipt:1001"}])


@pytest.mark.parametrize(
    ("found", "slowest_ms", "stated", "said"),
    [
        (WHOLE, 20, nothing_missing, "Nothing was lost by this: 7 of 7 effects."),
        (SHIPMENT_LOST, 20, lost("shipment:1001"), "Lost for good: shipment:1001."),
        (SHIPMENT_LOST, 20, something_lost, "Lost for good: shipment:1001."),
        (WHOLE, 4800, somebody_waited, "A customer waited 4.8 s."),
    ],
)
def test_what_is_stated_and_came_about_is_seen(found, slowest_ms, stated, said):
    assert without_ledger(found, slowest_ms, stated) == said


@pytest.mark.parametrize(
    ("found", "slowest_ms", "stated"),
    [
        (SHIPMENT_LOST, 20, nothing_missing),
        (TWICE, 20, nothing_missing),
        (SHIPMENT_LOST, 20, lost("shipment:1001", "invoice:1001")),
        (WHOLE, 20, something_lost),
        (SHIPMENT_LOST, AT_ONCE, somebody_waited),
    ],
)
def test_what_is_stated_and_did_not_come_about_is_not_seen(found, slowest_ms, stated):
    with pytest.raises(NotSeen, match="did not come about"):
        without_ledger(found, slowest_ms, stated)
