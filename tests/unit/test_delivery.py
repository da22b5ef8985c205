"""The flat rates of the delivery, and its days."""

from datetime import date
from decimal import Decimal

import pytest

from orders.ordering.delivery import quote, working_days_after
from orders.ordering.refusals import NoCarrier

CENT = Decimal("0.01")


@pytest.mark.parametrize(("country", "rate"), [("IE", "4.90"), ("PL", "9.90"), ("GB", "9.90")])
def test_each_zone_has_its_rate_and_from_fifty_euros_none(country, rate):
    assert quote(country, 50 - CENT).cost == Decimal(rate)
    assert quote(country, Decimal(50)).cost == 0


@pytest.mark.parametrize("country", ["US", "BR", "ZZ", ""])
def test_a_country_without_a_carrier_is_refused(country):
    with pytest.raises(NoCarrier, match=r"We do not deliver to .+ yet"):
        quote(country, Decimal(1))


@pytest.mark.parametrize(("ordered", "days", "arrives"), [(23, 1, 24), (27, 1, 30), (28, 1, 30), (25, 3, 30)])
def test_a_parcel_does_not_travel_on_a_weekend(ordered, days, arrives):
    assert working_days_after(date(2026, 11, ordered), days) == date(2026, 11, arrives)
