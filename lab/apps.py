from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class LabConfig(AppConfig):
    name = "lab"

    def ready(self) -> None:
        """Refuse to be installed by any settings but the demo's."""
        if not (settings.DEBUG and settings.ROOT_URLCONF == "lab.urls"):
            raise ImproperlyConfigured("The lab is for the demo: it is installed by lab.settings alone, with DEBUG.")
