"""The totals of each shop, with its ledger and naive, since it was last started."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone

from lab.demo_stack import NAIVE, DemoStack
from lab.faults import effects
from orders.models import Order


class Totals:
    """The latest period of each variant. `periods` is part of the lab's state."""

    def __init__(self, stack: DemoStack, periods: dict[str, dict[str, Any]]) -> None:
        self.stack, self.periods = stack, periods

    def start(self, variant: str) -> None:
        """Count new orders for this variant, if they don't already."""
        for other in [name for name, period in self.periods.items() if name != variant and "end" not in period]:
            self.close(other)
        if variant not in self.periods or "end" in self.periods[variant]:
            self.periods[variant] = {"first": effects.newest(), "since": timezone.now().isoformat()}

    def close(self, variant: str) -> None:
        """Keep its totals as they are now, before the reconciler repairs anything."""
        end = as_dict(self.count(variant))
        self.periods[variant] |= {"last": effects.newest(), "until": timezone.now().isoformat(), "end": end}

    def count(self, variant: str) -> effects.Counts:
        """The effects of its orders by now. Raises audit.PartnersSilent and django.db.Error."""
        period = self.periods[variant]
        orders = Order.objects.filter(number__gt=period["first"])
        if "last" in period:
            orders = orders.filter(number__lte=period["last"])
        since = datetime.fromisoformat(period["since"])
        until = datetime.fromisoformat(period["until"]) if "until" in period else None
        broker = self.stack.broker if variant == NAIVE and not until else ""
        return effects.count(list(orders.values_list("number", flat=True)), since, until, broker)

    def all(self) -> dict[str, dict[str, Any]]:
        """The totals of each variant now, and as `end` those of a closed one when it closed. Raises as `count`."""
        periods = list(self.periods.items())
        return {name: as_dict(self.count(name)) | {"end": period.get("end")} for name, period in periods}


def as_dict(found: effects.Counts) -> dict[str, Any]:
    which = effects.keys_of([*found.lost, *found.twice], 6)
    return asdict(found) | {"lost": len(found.lost), "twice": len(found.twice), "which": which}
