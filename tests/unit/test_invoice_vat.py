"""The VAT that gross prices contain adds up, to the cent."""

import random
from decimal import Decimal

import pytest

from orders.fulfilment.vat import VatLine, breakdown, per_cent

RATES = [Decimal(rate) for rate in ("0.00", "5.00", "5.50", "7.00", "8.10", "19.00", "20.00", "23.00", "25.50")]


@pytest.mark.parametrize("seed", range(20))
def test_net_and_vat_add_up_to_gross_for_each_rate_and_in_all(seed):
    dice = random.Random(seed)
    for _ in range(50):
        amounts = [(dice.choice(RATES), Decimal(dice.randrange(10**6)) / 100) for _ in range(dice.randrange(1, 60))]
        taxes = breakdown(amounts)
        assert [tax.rate for tax in taxes] == sorted({rate for rate, _ in amounts})
        for tax in taxes:
            assert tax.net + tax.vat == tax.gross == sum(gross for rate, gross in amounts if rate == tax.rate)
            assert tax.vat == round(tax.vat, 2)
            assert abs(tax.gross * tax.rate / (100 + tax.rate) - tax.vat) <= Decimal("0.005")
        total = sum(gross for _, gross in amounts)
        assert sum(tax.net for tax in taxes) + sum(tax.vat for tax in taxes) == total


def test_half_a_cent_of_tax_is_rounded_up():
    assert breakdown([(Decimal(25), Decimal("0.125"))])[0].vat == Decimal("0.03")  # 0.025, even rounding says 0.02


def test_the_tax_is_rounded_once_on_the_sum_and_not_line_by_line():
    lines = [(Decimal(20), Decimal("0.10"))] * 3  # each holds 0.01667, together 0.05; line by line it would be 0.06
    assert breakdown(lines) == [VatLine(Decimal(20), Decimal("0.25"), Decimal("0.05"), Decimal("0.30"))]


def test_equal_rates_written_differently_are_one_rate():
    assert len(breakdown([(Decimal("5"), Decimal(1)), (Decimal("5.00"), Decimal(1))])) == 1


@pytest.mark.parametrize(
    ("rate", "text"), [("20.00", "20"), ("5.50", "5.5"), ("0.00", "0"), ("100.00", "100"), ("8.10", "8.1")]
)
def test_a_rate_is_written_without_needless_zeros(rate, text):
    assert per_cent(Decimal(rate)) == text
