from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class LabConfig(AppConfig):
    name = "lab"

    def ready(self) -> None:
        """Raises ImproperlyConfigured under any settings but the demo's."""
        if not (settings.DEBUG and settings.ROOT_URLCONF == "lab.urls"):
            raise ImproperlyConfigured("The lab is for the demo: only lab.settings installs it, with DEBUG.")
