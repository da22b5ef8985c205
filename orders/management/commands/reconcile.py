"""`manage.py reconcile`: repair discrepancies between orders, jobs and partners; report the rest."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError

from django.core.management.base import BaseCommand
from django.template.defaultfilters import pluralize

from orders.management.commands.audit import exit_unanswered
from orders.reconciliation import reconcile


def count(text: str) -> int:
    """A number of orders. Raises ArgumentTypeError."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a number of orders; give 0 or more")
    return int(text)


class Command(BaseCommand):
    help = (
        "Compare the orders of the last days with their jobs and the partners' records, and repair discrepancies. "
        "Exit status: 0 no discrepancies, or all repaired; 1 something needs review, or another run; "
        "2 invalid arguments; 4 the partners or the database do not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print the repairs without doing them")
        parser.add_argument("--limit", type=count, default=reconcile.LIMIT, help="the most orders to repair")
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, **options) -> None:
        with exit_unanswered(self.stderr, "Reconciling"):
            outcome = reconcile.run(options["limit"], options["dry_run"])
        self.stdout.write(json.dumps(outcome.as_dict(), indent=2) if options["json"] else self.in_words(outcome))
        if outcome.reports or outcome.left:
            sys.exit(1)

    def in_words(self, outcome: reconcile.Outcome) -> str:
        found = {"order": outcome.orders, "repair": len(outcome.repairs), "finding": len(outcome.reports)}
        orders, repairs, findings = (f"{number} {name}{pluralize(number)}" for name, number in found.items())
        left = f"{outcome.left} order{pluralize(outcome.left)} left for the next run"
        lines = [f"  {each}: {each.why}" for each in (*outcome.repairs, *outcome.reports)]
        return "\n".join([f"{orders}; {repairs}, {findings} to review, {left}.", *lines])
