"""A staff member lost the phone and the recovery codes. The security log records the removal."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from shop.staff import second_factor


class Command(BaseCommand):
    help = "Remove a staff member's second factor. They enrol a new one at their next sign-in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, username: str, **options: Any) -> None:
        try:
            removed = second_factor.remove(User.objects.get_by_natural_key(username))
        except User.DoesNotExist:
            raise CommandError(f"there is no user {username}") from None
        if not removed:
            raise CommandError(f"{username} has no second factor")
        self.stdout.write(f"{username} has no second factor now, and enrols a new one at the next sign-in.")
