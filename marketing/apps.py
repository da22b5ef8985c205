from importlib import import_module

from django.apps import AppConfig

from accounts import personal_data


class MarketingConfig(AppConfig):
    name = "marketing"
    verbose_name = "Marketing"

    def ready(self) -> None:
        for name in ("marketing.account", "marketing.receivers"):
            import_module(name)  # by name, as they need the loaded models
        personal_data.register(
            "marketing", "marketing.personal_data.export", "marketing.personal_data.erase",
            kind="forget-reader", noun="subscription",
        )  # fmt: skip
        personal_data.register("reviews", "marketing.reviews.export", "marketing.reviews.erase")
