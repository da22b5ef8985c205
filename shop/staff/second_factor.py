"""The second factor of staff: a code of their authenticator app (TOTP), or one of ten recovery codes.

django-otp keeps them, accepts each code once, and makes a device wait 1, 2, 4, 8 … seconds after wrong codes, without
the broker, too. The limits: the tables hold the keys in plain text, the first sign-in with a new account's password
enrols, and a stranger who knows a password can make its owner wait.
"""

import time
from binascii import unhexlify
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django_otp.models import Device
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from backroom.inbound import limits

RECOVERY_CODES = 10


def must_verify(user: Any) -> bool:
    """Whether this user, who may be anonymous, needs a code."""
    return settings.STAFF_TOTP and user.is_staff


def enrolled(user: User) -> bool:
    return TOTPDevice.objects.filter(user=user).exists()


def check(request: HttpRequest, user: User, code: str) -> Device | None:
    """The user's device that takes this code. Raises LimitReached."""
    limits.take(request, codes_by_account=str(user.pk))
    kind = TOTPDevice if code.isdecimal() and len(code) == 6 else StaticDevice
    with transaction.atomic():
        # Locked: of two requests with the same code, the second finds it used.
        device = kind.objects.select_for_update().filter(user=user).first()
        wait = device.verify_is_allowed()[1] if device else None
        accepted = device and not wait and device.verify_token(code)
    if wait:
        limits.reached.send(None, request=request, limit="wrong_codes")
        raise limits.LimitReached((wait["locked_until"] - timezone.now()).total_seconds())
    return device if accepted else None


def enrol(user: User, key: str, code: str, replace: bool) -> tuple[Device, list[str]] | None:
    """The new device, and the recovery codes; None if the code is not of this key. Only with `replace` in place of an
    older device."""
    totp = TOTP(unhexlify(key))
    totp.time = time.time()
    if not totp.verify(int(code), tolerance=1):
        return None
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two windows enrol one after the other
        if enrolled(user) and not replace:
            return None
        remove(user)
        device = TOTPDevice.objects.create(user=user, name="app", key=key, last_t=totp.t(), drift=totp.drift)
        paper = StaticDevice.objects.create(user=user, name="recovery codes")
        codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
        StaticToken.objects.bulk_create(StaticToken(device=paper, token=each) for each in codes)
    return device, codes


def remove(user: User) -> int:
    """Delete the device and the recovery codes. How many devices there were."""
    StaticDevice.objects.filter(user=user).delete()
    return TOTPDevice.objects.filter(user=user).delete()[0]
