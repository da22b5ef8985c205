from importlib import import_module

from django.apps import AppConfig


class MarketingConfig(AppConfig):
    name = "marketing"
    verbose_name = "Marketing"

    def ready(self) -> None:
        import_module("marketing.receivers")  # by name, as they need the loaded models
