from django.apps import AppConfig

from accounts import personal_data


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        personal_data.register("accounts", "accounts.own_data.export", "accounts.own_data.erase")
        # That room is below this one, and registers nothing itself.
        for_notices = "notifications.personal_data"
        personal_data.register("notifications", f"{for_notices}.export", f"{for_notices}.erase")
