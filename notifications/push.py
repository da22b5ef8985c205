"""Sends a notification to a person's browsers by Web Push (RFC 8030), encrypted for each (RFC 8291) and signed (VAPID).

The limit: a real push service knows no idempotency key. A worker that dies between its answer and our commit sends the
notification again. The topic lets it replace one that the browser has not received yet, and our service worker shows
one with the same tag in its place. After another VAPID key, mail takes over until a browser is turned on anew.
"""

import json
import re
from base64 import urlsafe_b64decode
from email.utils import parseaddr
from io import BytesIO
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.conf import settings
from django.contrib.auth.models import User
from django.utils.crypto import salted_hmac
from webpush import WebPush, WebPushSubscription
from webpush.vapid import VAPID

from backroom import Permanent, RetryAfter
from backroom.conf import conf
from backroom.outbound.errors import PartnerUnavailable
from backroom.outbound.http import NotFound, Partner
from notifications.models import PushSubscription

TIMEOUT = (1.0, 3.0)  # seconds to connect and for the answer: ten browsers must not reach the job's time limit
TTL = 86_400  # seconds for which the push service keeps it for a browser that is off
# A browser names any address, and we post to it: only to these services, by https on its own port, and one pattern for
# the whole, as two parsers may differ on its parts. Partner follows no redirect.
SERVICES = re.compile(
    r"https://(fcm\.googleapis\.com|updates\.push\.services\.mozilla\.com|web\.push\.apple\.com"
    r"|[a-z0-9-]{1,63}\.notify\.windows\.com)(:443)?/[A-Za-z0-9_~:/?=&%.-]{1,900}"
)


def known_service(endpoint: str) -> bool:
    """Whether we post to this address: of a browser maker's push service, or of the partner in its place."""
    partner = re.escape(conf.PARTNERS_URL) + "/push/[A-Za-z0-9_-]{1,100}"
    return bool(SERVICES.fullmatch(endpoint) or re.fullmatch(partner, endpoint))


def send(key: str, user: User, title: str, body: str, url: str) -> None:
    """Send the notification of this key to all browsers of a person, and forget those that have left.

    One that gets it is enough. Else raises an error of Partner.post_bytes, one that a retry may cure if there is any,
    and Permanent if no browser is left.
    """
    payload = json.dumps({"title": title, "body": body, "url": url, "tag": key})
    failures: list[Exception] = []
    subscriptions = list(user.push_subscriptions.order_by("id"))
    for subscription in subscriptions:
        try:
            _post(key, subscription, payload)
        except NotFound:
            subscription.delete()
            failures.append(Permanent("no browser is left"))
        except (Permanent, RetryAfter, PartnerUnavailable) as error:
            failures.append(error)
    if len(failures) == len(subscriptions):
        curable = [error for error in failures if not isinstance(error, Permanent)]
        raise (curable or failures or [Permanent("no browser is left")])[0]


def _post(key: str, subscription: PushSubscription, payload: str) -> None:
    if not settings.VAPID_PRIVATE_KEY:
        raise Permanent("VAPID_PRIVATE_KEY is not set")
    if not known_service(subscription.endpoint):
        raise Permanent("the address is of no known push service")
    keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
    browser = WebPushSubscription.model_validate({"endpoint": subscription.endpoint, "keys": keys})
    message = _signer().get(payload, browser, ttl=TTL)
    topic = salted_hmac("notifications.push", key).hexdigest()[:32]  # a browser's maker reads no order's number
    headers = {**message.headers, "topic": topic}
    path = subscription.endpoint.removeprefix(conf.PARTNERS_URL)
    if path.startswith("/"):  # the partner's. By the person it forgets the message later
        person = str(subscription.user_id)
        Partner("push", TIMEOUT).post_bytes(path, message.encrypted, key, {**headers, "x-person": person})
    else:  # each host has its breaker: one maker may be away, and a person may name a host that never was
        host = urlsplit(subscription.endpoint).netloc
        service = Partner(f"push:{host}", TIMEOUT, url=f"https://{host}")
        service.post_bytes(path.removeprefix(f"https://{host}"), message.encrypted, topic, headers)


def public_key() -> str:
    """What a browser needs to subscribe: the VAPID public key in base64url, or "" if none is configured."""
    return VAPID.get_application_server_key(_private_key().public_key()) if settings.VAPID_PRIVATE_KEY else ""


def _private_key() -> ec.EllipticCurvePrivateKey:
    raw = urlsafe_b64decode(settings.VAPID_PRIVATE_KEY.rstrip("=") + "=")
    return ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1())


def _signer() -> WebPush:
    key = _private_key()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return WebPush(private, BytesIO(public), subscriber=parseaddr(settings.DEFAULT_FROM_EMAIL)[1])
