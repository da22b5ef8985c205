"""Sign-ins, changed rights and passwords, reached limits: a log line and a count of each, with the client's address.

A line names an account by its id: in the place of a name, people also type passwords.
"""

from typing import Any

import structlog
from allauth.account.signals import email_changed
from django.contrib.auth.models import Group, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.dispatch import receiver
from django.http import HttpRequest
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import customers
from backroom.inbound import limits
from backroom.inbound.client import client_of
from shop import request_metrics
from shop.staff.second_factor import must_verify

log = structlog.get_logger(__name__)
FLAGS = ("is_active", "is_staff", "is_superuser")


def record(event: str, request: HttpRequest | None = None, **fields: Any) -> None:
    """`event` is one of a few: it is a metric's label."""
    request_metrics.count_event(event)
    log.info("security", what=event, client=client_of(request) if request else None, **fields)


@receiver(user_logged_in)
def signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    # With a second factor, shop/staff records the sign-in when it has come.
    record("password accepted" if must_verify(user) else "signed in", request, user=user.pk)


@receiver(user_logged_out)
def signed_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    record("signed out", request, user=user and user.pk)


@receiver(user_login_failed)
def sign_in_failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    if email := credentials.get("email"):
        address = customers.address_of(email)
        user = address and address.user
    else:
        user = User.objects.filter(username=credentials.get("username")).first()
    record("sign-in failed", request, user=user and user.pk)


@receiver(email_changed)
def address_changed(request: HttpRequest, user: User, **_: Any) -> None:
    record("email changed", request, user=user.pk)


@receiver(post_save, sender=TOTPDevice)
def enrolled(instance: TOTPDevice, created: bool, **_: Any) -> None:
    if created:
        record("second factor enrolled", user=instance.user_id)


@receiver(post_delete, sender=TOTPDevice)
def unenrolled(instance: TOTPDevice, **_: Any) -> None:
    record("second factor removed", user=instance.user_id)


@receiver(limits.reached)
def limit_reached(request: HttpRequest, limit: str, **_: Any) -> None:
    record("limit reached", request, limit=limit)


@receiver(m2m_changed, sender=User.groups.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
@receiver(m2m_changed, sender=Group.permissions.through)
def members_changed(sender: Any, instance: Any, action: str, pk_set: set[int] | None, **_: Any) -> None:
    if action in ("post_add", "post_remove", "pre_clear") and pk_set != set():
        changed = sorted(pk_set) if pk_set else None
        record("rights changed", of=str(instance._meta.label), id=instance.pk, action=action, changed=changed)


@receiver(pre_save, sender=User)
def flags_changed(instance: User, **_: Any) -> None:
    """Staff, superuser or active, which a query's `update` changes without a signal."""
    before = User.objects.filter(pk=instance.pk).values(*FLAGS).first() or dict.fromkeys(FLAGS[1:], False)
    if changed := {flag: getattr(instance, flag) for flag in before if getattr(instance, flag) != before[flag]}:
        record("rights changed", of=str(instance._meta.label), id=instance.pk, **changed)


@receiver(pre_save, sender=User)
def password_changed(instance: Any, **_: Any) -> None:
    """By its owner or another. `_password` is None when a sign-in only hashes it anew."""
    if instance.pk and instance._password is not None:
        record("password changed", user=instance.pk)
