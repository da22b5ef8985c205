from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Back room"

    def ready(self) -> None:
        from jobs import checks  # noqa: F401, PLC0415 - registers them; apps are not loaded before
