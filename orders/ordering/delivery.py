"""The cost and the day of a delivery: a flat rate for each zone, and none from FREE_FROM. Other countries have no
carrier, and an order to them is refused."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.utils import timezone
from django_countries import countries

from orders.ordering.refusals import NoCarrier


@dataclass(frozen=True)
class Zone:
    """`cost` in the shop's currency, VAT included; `days` are working days from the order to the door."""

    cost: Decimal
    days: int


FREE_FROM = Decimal(50)  # the products' total
VAT_RATE = Decimal(20)
DEFAULT = "IE"
EUROPE = Zone(Decimal("9.90"), 3)
ABROAD = "AT BE BG CY CZ DE DK EE ES FI FR GB GR HR HU IT LT LU LV MT NL PL PT RO SE SI SK"
ZONES = {DEFAULT: Zone(Decimal("4.90"), 1), **dict.fromkeys(ABROAD.split(), EUROPE)}


@dataclass(frozen=True)
class Delivery:
    """The delivery of one order. It is free if `cost` is 0."""

    country: str
    cost: Decimal
    arrives_on: date

    @property
    def country_name(self) -> str:
        return countries.name(self.country)


def quote(country: str, products: Decimal) -> Delivery:
    """The delivery of products of this total, if they are ordered today. Raises NoCarrier."""
    zone = ZONES.get(country)
    if zone is None:
        raise NoCarrier(f"We do not deliver to {countries.name(country) or 'this country'} yet.")
    cost = Decimal(0) if products >= FREE_FROM else zone.cost
    return Delivery(country, cost, working_days_after(timezone.localdate(), zone.days))


def working_days_after(day: date, days: int) -> date:
    """Monday to Friday count."""
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < 5
    return day
