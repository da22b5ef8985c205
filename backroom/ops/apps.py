from django.apps import AppConfig
from django.db.models.signals import post_migrate

from backroom.ops import roles


class OpsConfig(AppConfig):
    name = "backroom.ops"
    label = "backroom_ops"
    verbose_name = "Back room operations"

    def ready(self) -> None:
        post_migrate.connect(roles.make_roles, sender=self)
