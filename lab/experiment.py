"""One experiment, as the page shows it and the runner runs it."""

from dataclasses import dataclass

from lab.checks import Scenario
from lab.excerpts import Excerpt, excerpt

SLOW_MACHINE = 3  # times the stated seconds until an experiment ends, as a machine may be busy


@dataclass(frozen=True)
class Experiment:
    """`within`: seconds until `expect` occurs on an idle machine. `naive`, `checklist`: what occurs without a ledger.
    `ours`: the lines that keep the promise, `theirs`: their counterpart without a ledger; see excerpts.py for both.
    `issue`: the address and the content of a thread about the pitfall."""

    slug: str
    title: str
    fault: str
    expect: str
    naive: str
    checklist: str
    why: str
    ours: str
    theirs: str
    issue: tuple[str, str]
    within: int
    scenario: Scenario

    @property
    def longest(self) -> int:
        """Seconds after which it ends, with or without a result."""
        return self.within * SLOW_MACHINE

    @property
    def code(self) -> dict[str, Excerpt]:
        """The excerpts beside each other, by their headings."""
        return {"With ledger": excerpt(self.ours), "Without ledger": excerpt(self.theirs)}
