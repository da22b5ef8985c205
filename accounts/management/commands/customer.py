"""`manage.py customer`: export and erase what is held about a person."""

import json
import sys
from argparse import ArgumentParser

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder
from django.template.defaultfilters import pluralize

from accounts import customers, data_requests, personal_data
from backroom.ops import audit_log


def account_of(address: str) -> User | None:
    found = customers.address_of(address)
    return found and found.user


class Command(BaseCommand):
    help = (
        "Export what is held about a customer as JSON, or erase it by jobs: each order, and the account. "
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
        found = personal_data.export(address, account_of(address))
        if found:
            self.stdout.write(json.dumps(found, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2))
        return found is not None

    def erase(self, address: str) -> bool:
        """The address is in no answer: it would stay in a terminal's log."""
        erasure = data_requests.erase(address, account_of(address), audit_log.at_the_command_line())
        for noun, keys in erasure.keys.items():
            self.stdout.write(f"{len(keys)} {noun}{pluralize(len(keys))} will be erased by {', '.join(keys)}.")
        return erasure.held
