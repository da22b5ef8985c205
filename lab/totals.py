"""The totals of each shop since it was last started, and of earlier periods when they closed and now."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone

from lab.demo_stack import DemoStack
from lab.faults import LEDGERED, effects
from orders.models import Order

KEPT = 6  # periods
NONE = {"lost": 0, "twice": 0, "unfinished": 0}


class Totals:
    """One period for each start of a shop; the last one is the shop that runs. `periods` is part of the lab's state.

    A period counts the orders placed between `since` and `until`. `now`: their totals by now. `end`: their totals when
    it closed.
    """

    def __init__(self, stack: DemoStack, periods: list[dict[str, Any]]) -> None:
        self.stack, self.periods = stack, periods

    def start(self, shop: str) -> None:
        """Count new orders for this shop, if they don't already."""
        if self.periods and not self.periods[-1]["end"]:
            if self.periods[-1]["shop"] == shop:
                return
            self.close()
        period = {"shop": shop, "since": timezone.now().isoformat(), "now": NONE}
        self.periods.append(period | {"until": None, "end": None})  # all keys, as another thread reads it
        del self.periods[:-KEPT]

    def close(self) -> None:
        """Keep the totals as they are now, before the reconciler repairs anything."""
        end = as_dict(self.count())
        self.periods[-1] |= {"until": timezone.now().isoformat(), "end": end, "now": end}

    def count(self, period: dict[str, Any] | None = None) -> effects.Counts:
        """The effects of a period's orders by now, by default the last one's. Raises audit.PartnersSilent and
        django.db.Error."""
        period = period or self.periods[-1]
        since = datetime.fromisoformat(period["since"])
        until = datetime.fromisoformat(period["until"]) if period["until"] else None
        orders = Order.objects.filter(created_at__gte=since)
        if until:
            orders = orders.filter(created_at__lt=until)
        broker = "" if until or period["shop"] == LEDGERED else self.stack.broker
        return effects.count(list(orders.values_list("number", flat=True)), since, until, broker)

    def update(self) -> None:
        """Count again what can still change. Raises as `count`."""
        for period in list(self.periods):
            if not period["end"] or period["now"]["lost"] or period["now"]["unfinished"]:
                period["now"] = as_dict(self.count(period))


def as_dict(found: effects.Counts) -> dict[str, Any]:
    which = effects.keys_of([*found.lost, *found.twice], 6)
    return asdict(found) | {"lost": len(found.lost), "twice": len(found.twice), "which": which}
