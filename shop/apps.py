"""The start of each Django process."""

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import import_string


class ShopConfig(AppConfig):
    """The project itself."""

    name = "shop"

    def ready(self) -> None:
        for name in ("shop.security_events", "shop.checks", "shop.staff.session"):
            import_module(name)  # receivers and checks; by name, as they need the loaded models
        if settings.TRACING:
            import_string("shop.tracing.configure")()  # by name: the import costs each start 0.1 s
