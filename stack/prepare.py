"""`python -m stack.prepare`: migrates, seeds the products and makes the staff account, in one Django process."""

import os
import sys

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from stack.environment import STAFF


def main() -> None:
    """Safe to repeat. The account gets the password that the demo prints."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    django.setup()
    check_version()
    call_command("check")
    call_command("migrate", verbosity=0)
    call_command("seed", restock=True)
    if not settings.DEBUG:
        call_command("collectstatic", interactive=False, verbosity=0)
    users = get_user_model().objects
    staff, _ = users.get_or_create(
        username=STAFF, defaults={"is_staff": True, "is_superuser": True, "email": settings.STAFF_EMAIL}
    )
    if not staff.check_password(os.environ["STAFF_PASSWORD"]):
        staff.set_password(os.environ["STAFF_PASSWORD"])
        staff.save(update_fields=["password"])


def check_version() -> None:
    """Exit if an older version, whose ledger was the app `jobs`, migrated this database. Changes nothing."""
    if any(app == "jobs" for app, _ in MigrationRecorder(connection).applied_migrations()):
        sys.exit(
            "DATABASE_URL holds data of an older version: set it to a new database to keep this one for the old version"
        )


if __name__ == "__main__":
    main()
