"""The result of a row, and which promises it breaks."""

import dataclasses
from typing import Any

from lab.faults import LEDGERED


@dataclasses.dataclass
class Result:
    """`seconds` is None without a ledger, or if jobs were left; 0 if no job was left at the time of the fault."""

    part: str
    boundary: str
    fault: str
    shop: str
    within: float
    allowed: int  # effects that may happen twice, by the written limits
    orders: int = 0
    expected: int = 0
    found: int = 0
    lost: int = 0
    twice: int = 0
    stray: int = 0
    seconds: float | None = None
    unanswered: int = 0
    took: float = 0.0
    failed: bool = False  # the fault could not be caused
    idle: bool = False  # no work was left in the end
    notes: list[str] = dataclasses.field(default_factory=list)
    findings: list[str] = dataclasses.field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """The promises that it breaks, as text."""
        late = self.seconds is None or self.seconds > self.within
        return [
            *([f"{self.lost} lost"] if self.lost else []),
            *([f"{self.twice} twice"] if self.twice > self.allowed else []),
            *([f"{self.stray} stray"] if self.stray else []),
            # The audit does not call an unfinished effect lost.
            *([] if self.idle else ["never idle"]),
            *([f"{self.expected - self.found} missing"] if self.found < self.expected else []),
            *(["finished too late" if self.seconds else "not finished"] if late else []),
            *(["the row itself failed"] if self.failed else []),
        ]


def line(result: dict[str, Any]) -> str:
    """A result for people: one line, and the findings below it if it breaks a promise."""
    took = "" if result["seconds"] is None else f"{result['seconds']:5.1f} s (within {result['within']:g})"
    ledgered = result["shop"] == LEDGERED
    head = f"{'' if ledgered else result['shop'] + ' '}{result['part']} | {result['boundary']} | {result['fault']}: "
    head += f"{result['orders']} orders, {result['found']}/{result['expected']} effects, {result['lost']} lost, "
    head += f"{result['twice']} twice, {result['stray']} stray  {took}  [{result['took']:.0f} s]"
    if not (ledgered and result["broken"]):
        return "\n  ".join([head, *result["notes"]])
    return "\n  ".join([head, "BROKEN: " + ", ".join(result["broken"]), *result["notes"], *result["findings"]])
