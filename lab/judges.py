"""What has to be seen. A judge is asked until it says in words what came about, and raises NotSeen where that can't
come any more. Without a ledger one judge does for most experiments: what became of the orders in the end."""

from collections.abc import Callable

from jobs import breaker
from lab.scene import NotSeen, Scene
from lab.tally import Tally, keys_of

Judge = Callable[[], str]
Act = Callable[[Scene], Judge]

AT_ONCE = 2000  # ms in which a customer is answered whatever is broken, also where much else goes on


def all_done(scene: Scene, words: str, besides: Callable[[], object] = lambda: True) -> Judge:
    """The judge of most acts: all that should happen to the orders has, once; no customer waited; and `besides`."""
    quiet = 0

    def judge() -> str:
        nonlocal quiet
        found = scene.tally()
        if scene.naive:
            quiet = 0 if found.busy else quiet + 1
            return without_ledger(scene, found) if quiet >= 2 else ""
        if not (found.done and besides()):
            return ""
        if scene.slowest_ms > AT_ONCE:
            raise NotSeen(f"a customer waited {scene.slowest_ms} ms")
        return f"{words[0].upper()}{words[1:]}. {found.found} of {found.expected} effects, 0 lost, 0 twice."

    return judge


def without_ledger(scene: Scene, found: Tally) -> str:
    """What became of the orders, when nobody has anything of them in hand any more."""
    told = []
    if found.lost:
        told.append(f"Lost for good: {keys_of(found.lost)}.")
    if found.twice:
        told.append(f"Done twice: {keys_of(found.twice)}.")
    if scene.slowest_ms > AT_ONCE:
        told.append(f"A customer waited {scene.slowest_ms / 1000:.1f} s.")
    return " ".join(told) or "Nothing was lost this time."


def gate(partner: str) -> str:
    """The state of a partner's breaker; "" where nobody can tell."""
    return next((one["state"] for one in breaker.states() or () if one["partner"] == partner), "")
