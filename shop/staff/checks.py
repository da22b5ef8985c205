"""System checks: how staff sign in outside of the demo."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

HOURS, MINUTES = 24, 60  # NIST SP 800-63B for two factors


@register(deploy=True)
def check_staff(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.STAFF_TOTP:
        found.append(
            Warning("a password alone lets staff in", hint="remove STAFF_TOTP: then staff need a code from their phone",
                    id="shop.W001")
        )  # fmt: skip
    if settings.STAFF_SESSION_HOURS > HOURS or settings.STAFF_IDLE_MINUTES > MINUTES:
        found.append(
            Warning("sessions of staff live long",
                    hint=f"set STAFF_SESSION_HOURS to {HOURS} or less, STAFF_IDLE_MINUTES to {MINUTES} or less",
                    id="shop.W002")
        )  # fmt: skip
    return found
