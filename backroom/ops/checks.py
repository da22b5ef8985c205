"""System checks: alerts have a recipient, limits can tell clients apart, and the broker commands no worker."""

from typing import Any

from django.conf import settings
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


@register(deploy=True)
def check_clients(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not conf.LIMITS or conf.CLIENT_HEADER or not settings.SECURE_PROXY_SSL_HEADER:
        return []
    return [
        Warning("no limit holds for a client: behind the proxy all have one address",
                hint="set BACKROOM_CLIENT_HEADER to the header in which the proxy sends the client's address",
                id="backroom.W008")
    ]  # fmt: skip


@register(deploy=True)
def check_remote_control(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not conf.REMOTE_CONTROL:
        return []
    return [
        Warning("workers obey Celery's remote control: the broker's password ends or reconfigures them",
                hint="remove BACKROOM_REMOTE_CONTROL: what only looks, as Flower does, works without",
                id="backroom.W010")
    ]  # fmt: skip
