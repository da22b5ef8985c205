"""System check: alerts have a recipient."""

from typing import Any

from django.core.checks import CheckMessage, Warning, register

from backroom.conf import conf


@register()
def check_ops(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if conf.ALERT_MAIL_TO:
        return []
    return [
        Warning("alerts are not mailed", hint="set BACKROOM_ALERT_MAIL_TO to the addresses of the staff on call",
                id="backroom.W002")
    ]  # fmt: skip
