from django.apps import AppConfig
from django.db.models.signals import post_migrate


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Back room"

    def ready(self) -> None:
        from jobs import checks, roles  # noqa: F401, PLC0415 - registers them; apps are not loaded before

        post_migrate.connect(roles.make_roles, sender=self)
