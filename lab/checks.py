"""What has to be seen. A judge is asked until it says in words what came about, and raises NotSeen where that can't
come any more. Without a ledger that is what became of the orders in the end, and whether it is what is stated."""

from collections.abc import Callable

from backroom.outbound import breaker
from lab.context import NotSeen, Scene
from lab.faults.effects import Tally, keys_of

Judge = Callable[[], str]
Act = Callable[[Scene], Judge]
Without = Callable[[Tally, int], object]  # of the orders, and of the ms that the slowest customer waited

AT_ONCE = 2000  # ms in which a customer is answered whatever is broken, also where much else goes on


def nothing_missing(found: Tally, _: int) -> bool:
    return not (found.lost or found.twice)


def something_lost(found: Tally, _: int) -> bool:
    return bool(found.lost)


def lost(*keys: str) -> Without:
    """All of these."""
    return lambda found, _: set(keys) <= {finding["key"] for finding in found.lost}


def somebody_waited(_: Tally, slowest_ms: int) -> bool:
    return slowest_ms > AT_ONCE


def all_done(
    scene: Scene, words: str, besides: Callable[[], object] = lambda: True, without: Without = nothing_missing
) -> Judge:
    """The judge of most acts: all that should happen to the orders has, once; no customer waited; and `besides`.
    `without`: what is stated of the naive shop, once nothing of the orders is under way any more."""
    quiet = 0

    def judge() -> str:
        nonlocal quiet
        found = scene.tally()
        if scene.naive:
            quiet = 0 if found.busy else quiet + 1
            return without_ledger(found, scene.slowest_ms, without) if quiet >= 2 else ""
        if not (found.done and besides()):
            return ""
        if scene.slowest_ms > AT_ONCE:
            raise NotSeen(f"a customer waited {scene.slowest_ms} ms")
        return f"{words[0].upper()}{words[1:]}. {found.found} of {found.expected} effects, 0 lost, 0 twice."

    return judge


def without_ledger(found: Tally, slowest_ms: int, stated: Without) -> str:
    """What became of the orders, when nobody has anything of them in hand any more. Raises NotSeen if it is not what
    is stated."""
    told = []
    if found.lost:
        told.append(f"Lost for good: {keys_of(found.lost)}.")
    if found.twice:
        told.append(f"Done twice: {keys_of(found.twice)}.")
    if slowest_ms > AT_ONCE:
        told.append(f"A customer waited {slowest_ms / 1000:.1f} s.")
    said = " ".join(told) or f"Nothing was lost by this: {found.found} of {found.expected} effects."
    if not stated(found, slowest_ms):
        raise NotSeen(f"what is stated did not come about this time. {said.removesuffix('.')}")
    return said


def gate(partner: str) -> str:
    """The state of a partner's breaker; "" where nobody can tell."""
    return next((one["state"] for one in breaker.states() or () if one["partner"] == partner), "")
