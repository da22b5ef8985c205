"""Two groups: readers see the operations pages, operators also act on jobs. A superuser assigns staff to them."""

from typing import Any

from django.apps.registry import Apps
from django.apps.registry import apps as all_apps
from django.contrib.auth.management import create_permissions
from django.db import DEFAULT_DB_ALIAS

LOOK, ACT = "backroom.view_job", "backroom.change_job"
READERS, OPERATORS = "Back room: readers", "Back room: operators"
ROLES = {READERS: ["view_job", "view_heartbeat"], OPERATORS: ["view_job", "view_heartbeat", "change_job"]}


def make_roles(apps: Apps = all_apps, using: str = DEFAULT_DB_ALIAS, **options: Any) -> None:
    """After migrations: create the groups that are missing. Existing ones keep their permissions."""
    if using != DEFAULT_DB_ALIAS:  # the ledger is in the default database
        return
    # Django creates backroom's permissions after this if INSTALLED_APPS names backroom.ops first.
    options.pop("app_config", None)
    create_permissions(all_apps.get_app_config("backroom"), apps=apps, using=using, **options)
    try:
        groups, permissions = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    except LookupError:  # not migrated yet
        return
    for name, codenames in ROLES.items():
        group, new = groups.objects.get_or_create(name=name)
        if new:
            group.permissions.set(
                permissions.objects.filter(content_type__app_label="backroom", codename__in=codenames)
            )
