from django.apps import AppConfig
from django.db.models.signals import post_migrate

from backroom.ops import checks, roles, schedules  # noqa: F401 - registers the checks


class OpsConfig(AppConfig):
    name = "backroom.ops"
    label = "backroom_ops"
    verbose_name = "Back room operations"
    dispatcher_chores = ("backroom.ops.rollups.write_finished_minutes",)  # see manage.py dispatcher

    def ready(self) -> None:
        post_migrate.connect(roles.make_roles, sender=self)
        schedules.keep_used_times()
