"""The VAT that gross prices contain, rate by rate."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


@dataclass(frozen=True)
class VatLine:
    """The sales at one rate (per cent). Net and VAT add up to gross, to the cent."""

    rate: Decimal
    net: Decimal
    vat: Decimal
    gross: Decimal

    def __add__(self, other: "VatLine") -> "VatLine":
        return VatLine(self.rate, self.net + other.net, self.vat + other.vat, self.gross + other.gross)

    @property
    def per_cent(self) -> str:
        return per_cent(self.rate)


def breakdown(amounts: Iterable[tuple[Decimal, Decimal]]) -> list[VatLine]:
    """One line for each rate, lowest first, from pairs of a rate in per cent and a gross amount.

    The tax is computed on the sum of a rate and rounded once, half up; net is the rest. Rounding each line would be off
    by a cent every few lines.
    """
    sums: dict[Decimal, Decimal] = defaultdict(Decimal)
    for rate, gross in amounts:
        sums[rate] += gross
    return [_line(rate, gross) for rate, gross in sorted(sums.items())]


def _line(rate: Decimal, gross: Decimal) -> VatLine:
    vat = (gross * rate / (100 + rate)).quantize(CENT, ROUND_HALF_UP)
    return VatLine(rate, gross - vat, vat, gross)


def per_cent(rate: Decimal) -> str:
    """20.00 as "20", 5.50 as "5.5"."""
    return f"{rate.normalize():f}"
