"""System check of the alerts' addressees."""

from typing import Any

from django.core.checks import CheckMessage, Warning, register

from backroom.runtime.conf import conf


@register()
def check_ops(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """An alert without an addressee is on the page only."""
    if conf.ALERT_MAIL_TO:
        return []
    return [
        Warning("alerts are mailed to no one", hint="set BACKROOM_ALERT_MAIL_TO to the addresses of those on call",
                id="backroom.W002")
    ]  # fmt: skip
