"""System checks of a deployment: what it leaves open to strangers, and to who has a password."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from shop.environment import LIMITS

HOURS, MINUTES = 24, 60  # NIST SP 800-63B for two factors


@register(deploy=True)
def check_shop(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [*_sign_in(), *_strangers()]


def _sign_in() -> Iterator[CheckMessage]:
    if not settings.STAFF_TOTP:
        yield Warning("a password alone lets staff in",
                      hint="remove STAFF_TOTP: then staff need a code from their phone", id="shop.W001")  # fmt: skip
    if settings.STAFF_SESSION_HOURS > HOURS or settings.STAFF_IDLE_MINUTES > MINUTES:
        yield Warning("sessions of staff live long",
                      hint=f"set STAFF_SESSION_HOURS to {HOURS} or less, STAFF_IDLE_MINUTES to {MINUTES} or less",
                      id="shop.W002")  # fmt: skip


def _strangers() -> Iterator[CheckMessage]:
    if off := sorted(LIMITS.keys() - settings.BACKROOM_LIMITS.keys()):
        yield Warning(f"without a limit: {', '.join(off)}", hint="remove =off from LIMITS", id="shop.W003")
    broker = urlsplit(settings.CELERY_BROKER_URL)
    if not broker.password and broker.scheme != "sqs":  # there a role of the machine's lets it in
        yield Warning("the broker has no password: each program of the network may empty its queues",
                      hint="give it one, and write it into BROKER_URL", id="shop.W004")  # fmt: skip
    if "*" in settings.ALLOWED_HOSTS:
        yield Warning("any host name is accepted: links and redirects may lead to a stranger's",
                      hint="write the shop's own names into ALLOWED_HOSTS", id="shop.W005")  # fmt: skip
