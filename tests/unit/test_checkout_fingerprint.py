"""The fingerprint of a request depends on the order it asks for, not on its spelling."""

from dataclasses import replace
from decimal import Decimal

import pytest

from orders.ordering.checkout import Customer, Wanted, fingerprint_of

CUSTOMER = Customer("a@example.com", "Ana", "Main Street 1", "Cork", "T12", "IE")
APPLES, PEARS = Wanted("apples", 1), Wanted("pears", 2)


def test_the_order_of_the_lines_does_not_matter():
    assert fingerprint_of(CUSTOMER, [APPLES, PEARS], "card") == fingerprint_of(CUSTOMER, [PEARS, APPLES], "card")


@pytest.mark.parametrize("field", ["email", "name", "address", "city", "postcode", "country"])
def test_each_field_of_the_customer_matters(field):
    other = replace(CUSTOMER, **{field: "other"})
    assert fingerprint_of(CUSTOMER, [APPLES], "card") != fingerprint_of(other, [APPLES], "card")


@pytest.mark.parametrize(
    ("lines", "card"),
    [
        ([PEARS], "card"),
        ([APPLES, PEARS], "card"),
        ([replace(APPLES, quantity=2)], "card"),
        ([replace(APPLES, price=Decimal("2.40"))], "card"),
        ([APPLES], "another"),
    ],
)
def test_lines_and_card_matter(lines, card):
    assert fingerprint_of(CUSTOMER, [APPLES], "card") != fingerprint_of(CUSTOMER, lines, card)


def test_text_can_not_slip_from_one_field_into_the_next():
    shifted = replace(CUSTOMER, name="Ana Main", address="Street 1")
    assert fingerprint_of(CUSTOMER, [APPLES], "card") != fingerprint_of(shifted, [APPLES], "card")
