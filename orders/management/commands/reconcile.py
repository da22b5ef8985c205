"""`manage.py reconcile`: repair discrepancies between orders, jobs and partners; report the rest."""

import json
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand
from django.db import OperationalError

from orders.management.commands.audit import NO_ANSWER
from orders.reconciliation import audit, reconcile


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
        try:
            outcome = reconcile.run(options["limit"], options["dry_run"])
        except audit.PartnersSilent as error:
            self.stderr.write(f"Reconciling needs the partners' records: {error}")
            sys.exit(NO_ANSWER)
        except OperationalError as error:
            self.stderr.write(f"Reconciling needs the database (DATABASE_URL): {str(error).partition(chr(10))[0]}")
            sys.exit(NO_ANSWER)
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
