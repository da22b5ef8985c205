"""The browsers of a person that get notifications."""

import json
import re
from base64 import urlsafe_b64decode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from backroom import Call, enqueue_all
from backroom.outbound.http import Partner
from notifications.kinds import PATIENT
from notifications.models import Channel, Contact, PushSubscription
from notifications.push import known_service, public_key

MOST = 10  # of one person; the oldest goes
NONE = "none"  # in place of a subscription: the browser could not make one
UNFIT = "This browser's notifications can't be used. Choose another way."


def subscribe(user: User, text: str) -> PushSubscription:
    """Let the browser with this subscription, as `JSON.stringify` writes it, get the person's notifications from now
    on. Raises ValidationError.

    A browser has one subscription for all its users. Its notifications go to the last of them who subscribed.
    """
    endpoint, keys = _parsed(text)
    with transaction.atomic():
        made, _ = PushSubscription.objects.update_or_create(endpoint=endpoint, defaults={"user": user, **keys})
        newest = user.push_subscriptions.order_by("-id").values_list("id", flat=True)[:MOST]
        user.push_subscriptions.exclude(id__in=list(newest)).delete()
        Contact.objects.update_or_create(user=user, defaults={"channel": Channel.PUSH})
    return made


def forget(user: User) -> None:
    """No browser gets the person's notifications any more; mail does."""
    with transaction.atomic():
        user.push_subscriptions.all().delete()
        Contact.objects.filter(user=user, channel=Channel.PUSH).update(channel=Channel.MAIL)


def ask_for_stand_in(user: User) -> None:
    """For a demo whose browser reaches no push service: let the push partner make a browser, in a job."""
    enqueue_all(Call("notifications.subscribe_stand_in", {"user": user.pk}, "critical", PATIENT.attempts))


def subscribe_stand_in(user_id: int) -> None:
    """Subscribe the partner's test browser for a person. The partner shows its notifications."""
    if user := User.objects.filter(pk=user_id).first():
        asked = {"applicationServerKey": public_key()}
        answer = Partner("push").post("/push/subscriptions", asked, key=f"stand_in:{user_id}")
        subscribe(user, json.dumps({"endpoint": answer.get("endpoint"), "keys": answer}))


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    try:
        given: Any = json.loads(text)
        endpoint, keys = given["endpoint"], {name: given["keys"][name].rstrip("=") for name in ("p256dh", "auth")}
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(keys["p256dh"]))
        if not (isinstance(endpoint, str) and known_service(endpoint) and len(_bytes(keys["auth"])) == 16):
            raise ValueError("not of a push service, or no secret")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValidationError(UNFIT) from None
    return endpoint, keys


def _bytes(text: str) -> bytes:
    if not re.fullmatch("[A-Za-z0-9_-]{1,100}", text):
        raise ValueError("not base64url")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
