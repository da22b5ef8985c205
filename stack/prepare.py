"""`python -m stack.prepare`: tables, products and the staff account, in one process of Django's.

The one module of this room that knows Django. Three runs of manage.py would do the same and start Django three times.
"""

import os

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command

from stack.environment import STAFF


def main() -> None:
    """Safe to repeat. The account's password is always the one that the demo prints."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    django.setup()
    call_command("check")
    call_command("migrate", verbosity=0)
    call_command("seed", restock=True)
    if not settings.DEBUG:
        call_command("collectstatic", interactive=False, verbosity=0)
    users = get_user_model().objects
    staff, _ = users.get_or_create(username=STAFF, defaults={"is_staff": True, "is_superuser": True})
    if not staff.check_password(os.environ["STAFF_PASSWORD"]):
        staff.set_password(os.environ["STAFF_PASSWORD"])
        staff.save(update_fields=["password"])


if __name__ == "__main__":
    main()
