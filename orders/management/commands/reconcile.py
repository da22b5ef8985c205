"""`manage.py reconcile`: repair discrepancies between orders, jobs and partners; report the rest."""

import json
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from orders.management.commands.audit import exit_unanswered
from orders.reconciliation import reconcile


class Command(BaseCommand):
    help = (
        "Compare the orders of the last days with their jobs and the partners' records, and repair discrepancies. "
        "Exit status: 0 no discrepancies, or all repaired; 1 something needs review, or another run; "
        "2 invalid arguments; 4 the partners or the database do not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print the repairs without doing them")
        parser.add_argument("--limit", type=int, default=reconcile.LIMIT, help="the most orders to repair")
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, **options) -> None:
        with exit_unanswered(self.stderr, "Reconciling"):
            outcome = reconcile.run(options["limit"], options["dry_run"])
        self.stdout.write(json.dumps(outcome.as_dict(), indent=2) if options["json"] else self.in_words(outcome))
        if outcome.reports or outcome.left:
            sys.exit(1)

    def in_words(self, outcome: reconcile.Outcome) -> str:
        lines = [
            f"{outcome.orders} orders; {len(outcome.repairs)} repairs, {len(outcome.reports)} findings to review, "
            f"{outcome.left} orders left for the next run."
        ]
        lines += [f"  {each}: {each.why}" for each in (*outcome.repairs, *outcome.reports)]
        return "\n".join(lines)
