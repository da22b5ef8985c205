"""A receiver of webhooks answers 204, 400 or 401, whatever it gets, and runs only for what the partner signed."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from standardwebhooks.webhooks import Webhook

from backroom.inbound.webhooks import Event, Unreadable, receiver

SECRET = "whsec_" + base64.b64encode(b"one secret of the shop, 32 bytes.").decode()
OTHER = "whsec_" + base64.b64encode(b"another secret of 24 b..").decode()
BODY = {"type": "parcel.sent", "timestamp": "2019-03-31T01:59:59+02:00", "data": {"order": "7", "who": "Łąka 😀"}}


@pytest.fixture
def received() -> Iterator[list[Event]]:
    """The events that reached the receiver."""
    yield (events := [])
    assert all(isinstance(event, Event) for event in events)


def headers_of(text: str, id: str = "msg_1", secret: str = SECRET, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    signature = Webhook(secret).sign(id, at, text)
    return {"webhook-id": id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def call(received: list[Event], body: str | bytes, headers: dict[str, Any], secret: str = SECRET) -> HttpResponse:
    request = RequestFactory().post("/hook", body, content_type="application/json", headers=headers)
    return receiver(lambda: secret)(received.append)(request)


def test_a_signed_event_arrives_with_the_time_at_which_it_happened(received):
    text = json.dumps(BODY)
    assert call(received, text, headers_of(text)).status_code == 204
    assert received == [Event("msg_1", "parcel.sent", datetime(2019, 3, 30, 23, 59, 59, tzinfo=UTC), BODY["data"])]


def test_a_partner_may_sign_with_an_old_and_a_new_secret(received):
    text = json.dumps(BODY)
    headers = headers_of(text, secret=OTHER)
    headers["webhook-signature"] += " " + headers_of(text)["webhook-signature"]
    assert call(received, text, headers).status_code == 204


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e400"},
        {"webhook-timestamp": "yesterday"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,????=="},
        {"webhook-signature": "v1,A"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": "v2,AAAA v1,AAAA"},
        {"webhook-signature": "v1,a,b"},
    ],
    ids=str,
)
def test_junk_in_a_header_is_a_forgery(received, change):
    text = json.dumps(BODY)
    assert call(received, text, headers_of(text) | change).status_code == 401
    assert received == []


def test_another_body_another_secret_and_no_headers_are_forgeries(received):
    text = json.dumps(BODY)
    assert call(received, text.replace("7", "8"), headers_of(text)).status_code == 401
    assert call(received, text, headers_of(text), OTHER).status_code == 401
    assert call(received, text, {}).status_code == 401
    assert received == []


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64"])
def test_a_shop_without_a_secret_refuses_all(received, secret):
    text = json.dumps(BODY)
    assert call(received, text, headers_of(text), secret).status_code == 401


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_request_that_is_repeated_later_is_refused(received, minutes):
    text = json.dumps(BODY)
    headers = headers_of(text, at=datetime.now(UTC) + timedelta(minutes=minutes))
    assert call(received, text, headers).status_code == 401


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "[" * 30_000,
        "1" * 5_000,
        json.dumps(BODY | {"type": None}),
        json.dumps(BODY | {"type": ""}),
        json.dumps(BODY | {"data": []}),
        json.dumps(BODY | {"data": None}),
        json.dumps(BODY | {"data": {"order": "1\0"}}),
        json.dumps(BODY | {"data": {"order": "\ud800"}}),
        json.dumps(BODY | {"data": {"order": float("nan")}}),
        json.dumps(BODY | {"timestamp": "yesterday"}),
        json.dumps(BODY | {"timestamp": 1764158400}),
        json.dumps(BODY | {"timestamp": "2026-11-26T12:00:00"}),
        json.dumps(BODY | {"timestamp": "9999-12-31T23:59:59-01:00"}),
        json.dumps({name: value for name, value in BODY.items() if name != "type"}),
        json.dumps({name: value for name, value in BODY.items() if name != "timestamp"}),
        json.dumps({name: value for name, value in BODY.items() if name != "data"}),
    ],
    ids=lambda text: text[:60],
)
def test_a_signed_body_that_makes_no_sense_is_a_bad_request(received, text):
    assert call(received, text, headers_of(text)).status_code == 400
    assert received == []


@pytest.mark.parametrize("id", ["m" * 65, "two words", "\u00e9"])
def test_an_id_that_no_table_could_keep_is_a_bad_request(received, id):
    text = json.dumps(BODY)
    assert call(received, text, headers_of(text, id)).status_code == 400


def test_a_body_that_is_too_large_or_no_text_is_a_bad_request(received, settings):
    text = json.dumps(BODY)
    assert call(received, b"\xff" + text.encode(), headers_of(text)).status_code == 400
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = len(text)
    assert call(received, text + " ", headers_of(text + " ")).status_code == 400
    assert received == []


def test_a_receiver_may_refuse_what_it_cannot_read_and_any_other_error_passes():
    text = json.dumps(BODY)
    request = RequestFactory().post("/hook", text, content_type="application/json", headers=headers_of(text))

    @receiver(lambda: SECRET)
    def refuses(event: Event) -> None:
        raise Unreadable("no such type")

    @receiver(lambda: SECRET)
    def fails(event: Event) -> None:
        raise ZeroDivisionError

    assert refuses(request).status_code == 400
    with pytest.raises(ZeroDivisionError):
        fails(request)


def test_only_post_is_answered():
    assert receiver(lambda: SECRET)(print)(RequestFactory().get("/hook")).status_code == 405
