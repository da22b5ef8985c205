"""Two roles behind the counter, as groups: who may look, and who may also act on jobs. Staff are given one by hand."""

from typing import Any

from django.apps.registry import Apps
from django.apps.registry import apps as all_apps
from django.contrib.auth.management import create_permissions

LOOK, ACT = "backroom.view_job", "backroom.change_job"
READERS, OPERATORS = "Back room: readers", "Back room: operators"
ROLES = {READERS: ["view_job", "view_heartbeat"], OPERATORS: ["view_job", "view_heartbeat", "change_job"]}


def make_roles(apps: Apps = all_apps, **options: Any) -> None:
    """After migrations: make sure that both groups exist. What a person then changes about them stays."""
    create_permissions(apps=apps, **options)  # Django's own turn comes after ours
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
