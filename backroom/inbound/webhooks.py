"""A partner's webhooks, signed as Standard Webhooks (standardwebhooks.com) has it. It needs the extra `webhooks`.

The signature proves that the partner sent this body under this id, and sent it now: five minutes either way. It may
come again, signed anew, and in any order. So a receiver keeps `Event.id`, in the transaction of the consequences.
"""

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from backroom.runtime import storable

log = logging.getLogger(__name__)

ID = re.compile(r"[!-~]{1,64}")


class Refused(Exception):
    """A webhook that is not accepted, with the status of the answer. The text is for our log, and quotes nothing."""

    status = 400


class Forged(Refused):
    """The partner did not sign this, or not now; or there is no secret."""

    status = 401


class Unreadable(Refused):
    """The body is not what the partner's documentation says."""


class Event(NamedTuple):
    """`at` is when it happened by the partner's clock, perhaps years ago, in UTC. PostgreSQL can keep all texts."""

    id: str
    type: str
    at: datetime
    data: dict[str, Any]


def verified(request: HttpRequest, secret: str) -> Event:
    """The event that a request brings. `secret` is `whsec_` and base64. Raises Refused."""
    text = _text(request)
    try:
        Webhook(secret).verify(text, dict(request.headers), json_parse=False)
    except (WebhookVerificationError, EmptyWebhookSecretError, ValueError) as error:  # ValueError: of a junk header
        raise Forged(f"no valid signature ({type(error).__name__})") from None
    id = request.headers["webhook-id"]
    if not ID.fullmatch(id):
        raise Unreadable("its id is not 1 to 64 ASCII characters")
    return Event(id, *_content(text))


def receiver(secret: Callable[[], str]) -> Callable[[Callable[[Event], None]], Callable[[HttpRequest], HttpResponse]]:
    """Make a view of a function that takes an event. It answers 204 once the function returns, which it does for a
    known event, too; 400 or 401 for what it refuses or the function raises as Unreadable. After any other status than
    2xx the partner sends the event again."""

    def decorate(receive: Callable[[Event], None]) -> Callable[[HttpRequest], HttpResponse]:
        @csrf_exempt
        @require_POST
        def view(request: HttpRequest) -> HttpResponse:
            try:
                receive(verified(request, secret()))
            except Refused as error:
                log.warning("refused a webhook at %s: %s", request.path, error)
                return HttpResponse(status=error.status)
            return HttpResponse(status=204)

        return view

    return decorate


def _text(request: HttpRequest) -> str:
    try:
        return request.body.decode()
    except (RequestDataTooBig, UnreadablePostError, UnicodeDecodeError) as error:  # the second: cut off
        raise Unreadable(f"no body in UTF-8 up to DATA_UPLOAD_MAX_MEMORY_SIZE ({type(error).__name__})") from None


def _content(text: str) -> tuple[str, datetime, dict[str, Any]]:
    try:
        body = json.loads(text)
        storable.encoded(body)
        kind, data, at = body["type"], body["data"], datetime.fromisoformat(body["timestamp"])
        if at.tzinfo is None or not (isinstance(kind, str) and kind and isinstance(data, dict)):
            raise ValueError("a part has another type")
        return kind, at.astimezone(UTC), data
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise Unreadable(f"not a type, a timestamp and data as JSON ({type(error).__name__})") from None
