"""`manage.py audit`: find lost, duplicated and unexpected effects."""

import json
import math
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.core.management.base import BaseCommand, OutputWrapper
from django.db import Error
from django.template.defaultfilters import pluralize

from backroom.ledger import db_errors
from orders.reconciliation import audit

NO_ANSWER = 4  # the exit status; argparse uses 2 for invalid arguments


def seconds(text: str) -> float:
    """A finite duration, at least 0. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds; give 0 or more")
    return value


def moment(text: str) -> datetime:
    """A time in the past; without an offset it is UTC. Raises ArgumentTypeError."""
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not a time; give one such as 2026-11-22T10:30:00+00:00") from None
    if found > datetime.now(UTC):
        raise ArgumentTypeError(f"{text} is in the future")
    return found


@contextmanager
def exit_unanswered(stderr: OutputWrapper, what: str) -> Iterator[None]:
    """Exit with NO_ANSWER and a line for people if the partners or the database do not answer."""
    try:
        yield
    except audit.PartnersSilent as error:
        stderr.write(f"{what} needs the partners' records: {error}")
        sys.exit(NO_ANSWER)
    except Error as error:
        if not db_errors.is_outage(error):
            raise
        stderr.write(f"{what} needs the database (DATABASE_URL): {db_errors.summary(error)}")
        sys.exit(NO_ANSWER)


class Command(BaseCommand):
    help = (
        "Compare every order with the partners' records. Exit status: 0 nothing lost, duplicated or unexpected; "
        "1 something is; 2 invalid arguments; 3 unfinished jobs after --wait; "
        "4 the partners or the database do not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument("--wait", type=seconds, default=0, metavar="SECONDS", help="wait until the jobs finish")
        since = "only orders placed and effects recorded since this time (ISO 8601, UTC without an offset)"
        parser.add_argument("--since", type=moment, metavar="TIME", help=f"{since}, to skip findings dealt with")

    def handle(self, **options) -> None:
        with exit_unanswered(self.stderr, "The audit"):
            finished = self.wait(options["wait"])
            report = audit.run(options["since"])
        self.stdout.write(json.dumps(report.as_dict(), indent=2) if options["json"] else self.in_words(report))
        if not report.clean:
            sys.exit(1)
        if not finished:
            self.stderr.write(f"After {options['wait']:g} s jobs are still unfinished.")
            sys.exit(3)

    def wait(self, seconds: float) -> bool:
        """Wait for the jobs; False if they do not finish in time. 0 does not wait."""
        deadline = time.monotonic() + seconds
        while seconds and audit.still_busy():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.5)
        return True

    def in_words(self, report: audit.Report) -> str:
        lines = [
            f"{report.orders} order{pluralize(report.orders)}, {report.unfinished} of them unfinished; "
            f"{report.effects_found} of {report.effects_expected} expected effects found; "
            f"{len(report.lost)} lost, {len(report.duplicated)} duplicated, {len(report.unexpected)} unexpected."
        ]
        for name in ("lost", "duplicated", "unexpected"):
            for row in getattr(report, name):
                lines.append(f"  {name}: {row['partner']}/{row['kind']} {row['key']}: {row['why']}")
        return "\n".join(lines)
