"""`manage.py customer`: export and erase what is held about a person."""

import json
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder
from django.template.defaultfilters import pluralize

from backroom.ops import audit_log
from orders import privacy


class Command(BaseCommand):
    help = (
        "Export what is held about a customer as JSON, or erase it by a job for each order. "
        "Exit status: 0 done; 1 nothing is held about this address; 2 invalid arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=["export", "erase"])
        parser.add_argument("address", help="the customer's email address, in any case")

    def handle(self, **options) -> None:
        if not (self.export if options["verb"] == "export" else self.erase)(options["address"]):
            self.stderr.write("Nothing is held about this address.")
            sys.exit(1)

    def export(self, address: str) -> bool:
        found = privacy.export(address)
        if found:
            self.stdout.write(json.dumps(found, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2))
        return found is not None

    def erase(self, address: str) -> bool:
        """The address is in no answer: it would stay in a terminal's log."""
        numbers = privacy.erase(address, audit_log.at_the_command_line())
        if numbers:
            jobs = ", ".join(privacy.ERASE.key(number) for number in numbers)
            self.stdout.write(f"{len(numbers)} order{pluralize(len(numbers))} will be erased by {jobs}.")
        return bool(numbers)
