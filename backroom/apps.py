from django.apps import AppConfig

from backroom.runtime import checks, session_checks  # noqa: F401 - registers the system checks


class BackroomConfig(AppConfig):
    name = "backroom"
    verbose_name = "Back room"
