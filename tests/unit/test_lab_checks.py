"""An experiment without a ledger passes only if the result that its card states occurred."""

import pytest

from lab.checks import FAST, lost, nothing_missing, slow_response, something_lost, without_ledger
from lab.context import NotSeen
from lab.faults.effects import Counts

COMPLETE = Counts(orders=1, expected=7, found=7)
SHIPMENT_LOST = Counts(orders=1, expected=7, found=6, lost=[{"key": "shipment:1001"}])
TWICE = Counts(orders=1, expected=7, found=7, twice=[{"key": "receipt:1001"}])


@pytest.mark.parametrize(
    ("found", "slowest_ms", "expected", "text"),
    [
        (COMPLETE, 20, nothing_missing, "Nothing was lost: 7 of 7 effects."),
        (SHIPMENT_LOST, 20, lost("shipment:1001"), "Lost for good: shipment:1001."),
        (SHIPMENT_LOST, 20, something_lost, "Lost for good: shipment:1001."),
        (COMPLETE, 4800, slow_response, "A customer waited 4.8 s."),
    ],
)
def test_the_expected_result_is_seen(found, slowest_ms, expected, text):
    assert without_ledger(found, slowest_ms, expected) == text


@pytest.mark.parametrize(
    ("found", "slowest_ms", "expected"),
    [
        (SHIPMENT_LOST, 20, nothing_missing),
        (TWICE, 20, nothing_missing),
        (SHIPMENT_LOST, 20, lost("shipment:1001", "invoice:1001")),
        (COMPLETE, 20, something_lost),
        (SHIPMENT_LOST, FAST, slow_response),
    ],
)
def test_another_result_is_not(found, slowest_ms, expected):
    with pytest.raises(NotSeen, match="did not occur"):
        without_ledger(found, slowest_ms, expected)
