"""What came of each shop's orders: with its ledger, and naive. Counted for each from the moment it was opened on."""

from datetime import datetime
from typing import Any

from django.utils import timezone

from lab.faults import effects as tally
from lab.faults.stack import NAIVE, Machine


class Books:
    """The latest period of each variant; `periods` is kept with the lab's state."""

    def __init__(self, machine: Machine, periods: dict[str, dict[str, Any]]) -> None:
        self.machine, self.periods = machine, periods

    def set_to(self, variant: str) -> None:
        """From here on orders count for this variant, if they don't already."""
        for other in [name for name, period in self.periods.items() if name != variant and "end" not in period]:
            self.close(other)
        if variant not in self.periods or "end" in self.periods[variant]:
            self.periods[variant] = {"first": tally.newest(), "since": timezone.now().isoformat()}

    def close(self, variant: str) -> None:
        """What came of its orders, before anybody else may mend it."""
        found = figures(self.look(variant))
        self.periods[variant] |= {"last": tally.newest(), "until": timezone.now().isoformat(), "end": found}

    def look(self, variant: str) -> tally.Tally:
        """What came of them by now. Raises audit.PartnersSilent and django.db.Error."""
        period = self.periods[variant]
        numbers = [number for number in tally.since(period["first"]) if number <= period.get("last", number)]
        since, until = datetime.fromisoformat(period["since"]), None
        if "until" in period:
            until = datetime.fromisoformat(period["until"])
        return tally.of(numbers, since, until, self.machine.broker if variant == NAIVE and not until else "")

    def figures(self) -> dict[str, dict[str, Any]]:
        """Of each variant, now; and of one that is closed, `end`: how it was then. Raises what `look` does."""
        return {
            variant: figures(self.look(variant)) | {"end": period.get("end")}
            for variant, period in list(self.periods.items())
        }


def figures(found: tally.Tally) -> dict[str, Any]:
    """A tally for the page."""
    return {
        "orders": found.orders,
        "expected": found.expected,
        "found": found.found,
        "busy": found.busy,
        "lost": len(found.lost),
        "twice": len(found.twice),
        "which": tally.keys_of([*found.lost, *found.twice], 6),
    }
