from importlib import import_module

from django.apps import AppConfig

from accounts import personal_data


class OrdersConfig(AppConfig):
    name = "orders"
    verbose_name = "Orders"

    def ready(self) -> None:
        for name in ("orders.ordering.owners", "orders.storefront.cart"):
            import_module(name)  # receivers; by name, as they need the loaded models
        personal_data.register(
            "orders", "orders.privacy.export", "orders.privacy.erase",
            kind="erase", noun="order", left="orders.privacy.left",
        )  # fmt: skip
