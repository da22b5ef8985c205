"""The checks of the experiments. A check is called until it returns the result as text; it raises NotSeen if the
expected result can no longer occur."""

from collections.abc import Callable

from backroom.outbound import breaker
from lab.context import Context, NotSeen
from lab.faults import CHECKLIST
from lab.faults.effects import Counts, keys_of

Check = Callable[[], str]
Scenario = Callable[[Context], Check]
Expected = Callable[[Counts, int], object]  # the orders' counts, and the slowest response in ms

FAST = 2000  # ms for a response while something is broken and the machine is busy


def nothing_missing(found: Counts, _: int) -> bool:
    return not (found.lost or found.twice)


def something_lost(found: Counts, _: int) -> bool:
    return bool(found.lost)


def lost(*keys: str) -> Expected:
    """All these effects are lost."""
    return lambda found, _: set(keys) <= {finding["key"] for finding in found.lost}


def slow_response(_: Counts, slowest_ms: int) -> bool:
    return slowest_ms > FAST


def complete(
    context: Context,
    text: str,
    condition: Callable[[], object] = lambda: True,
    naive: Expected = nothing_missing,
    checklist: Expected | None = None,
) -> Check:
    """The check of most experiments: each effect once, fast responses, and `condition`.

    `naive` and `checklist` are the results without a ledger, read once the orders have no messages left. The second is
    like the first if it is left out.
    """
    without = checklist if checklist and context.variant == CHECKLIST else naive
    idle = 0

    def check() -> str:
        nonlocal idle
        found = context.count()
        if not context.ledgered:
            idle = 0 if found.unfinished else idle + 1  # messages move between two reads, so one is not enough
            return without_ledger(found, context.slowest_ms, without) if idle >= 2 else ""
        if not (found.complete and condition()):
            return ""
        if context.slowest_ms > FAST:
            raise NotSeen(f"a customer waited {context.slowest_ms} ms")
        return f"{text} {found.found} of {found.expected} effects, 0 lost, 0 twice."

    return check


def without_ledger(found: Counts, slowest_ms: int, expected: Expected) -> str:
    """The result for orders without messages, as text. Raises NotSeen unless it is the expected one."""
    parts = []
    if found.lost:
        parts.append(f"Lost for good: {keys_of(found.lost)}.")
    if found.twice:
        parts.append(f"Done twice: {keys_of(found.twice)}.")
    if slowest_ms > FAST:
        parts.append(f"A customer waited {slowest_ms / 1000:.1f} s.")
    text = " ".join(parts) or f"Nothing was lost: {found.found} of {found.expected} effects."
    if not expected(found, slowest_ms):
        raise NotSeen(f"the expected result did not occur this time. {text.removesuffix('.')}")
    return text


def breaker_state(partner: str) -> str:
    """The state of a partner's breaker; "" without one, or without a broker."""
    return next((one["state"] for one in breaker.states() or () if one["partner"] == partner), "")
