"""The SMS provider, the push service and the inbox of all messages.

Each test talks to a real `python -m partners`; `webpush` encrypts and signs as the shop does.
"""

import json
import socket
import sqlite3
import time
from base64 import urlsafe_b64decode
from io import BytesIO
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from webpush import WebPush, WebPushSubscription
from webpush.vapid import VAPID

from partners.push_encryption import decrypt
from tests.integration.partners_world import World, receipt

SMS = {"to": "+353861234567", "text": "Your order 1001 was shipped"}
TEXT = {"title": "Your order was shipped 📦", "body": "Order 1001", "url": "https://shop.example/orders/1001/"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("partners"))
    world.start()
    yield world
    assert world.stop() == 0


@pytest.fixture
def world(running) -> World:
    assert running.call("POST", "/reset")[0] == 200
    return running


def messages(world, channel: str = "") -> list[dict]:
    return world.call("GET", f"/messages?channel={channel}")[1]["messages"]


# SMS


def test_an_sms_is_accepted_once_for_each_key(world):
    first = world.call("POST", "/sms/messages", SMS, "shipped:1001")
    assert (first[0], first[1]["status"]) == (201, "accepted")
    assert world.call("POST", "/sms/messages", SMS, "shipped:1001") == first
    assert world.call("POST", "/sms/messages", SMS | {"text": "Other"}, "shipped:1001")[0] == 422
    assert world.counts() == {("sms", "shipped", "shipped:1001"): 1}
    (one,) = messages(world, "sms")
    assert (one["to"], one["text"], one["key"]) == (SMS["to"], SMS["text"], "shipped:1001")
    assert world.effects(order="1001")[0]["partner"] == "sms"


@pytest.mark.parametrize(
    ("change", "status"),
    [({"to": "+353861230000"}, 400), ({"to": "0861234567"}, 422), ({"text": " "}, 422), ({"text": "x" * 501}, 422)],
)
def test_an_sms_to_nobody_or_without_text_is_refused(world, change, status):
    assert world.call("POST", "/sms/messages", SMS | change, "shipped:1001")[0] == status
    assert world.effects() == []


def test_more_sms_than_allowed_are_told_when_to_come_back(world):
    body = json.dumps(SMS).encode()
    request = b"POST /sms/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    answers = b""
    with socket.create_connection(("127.0.0.1", world.http), timeout=60) as line:
        line.sendall((request + body) * 300)
        while answers.count(b"HTTP/1.1 ") < 300:
            answers += line.recv(65_536)
    assert b"HTTP/1.1 201" in answers
    assert answers.count(b"HTTP/1.1 429") == answers.count(b"Retry-After: ") > 0


# Push


class Sender:
    """A shop with a VAPID key of its own."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.public = VAPID.get_application_server_key(key.public_key())
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.push = WebPush(self.private, BytesIO(pem), subscriber="shop@example.org", ttl=60)

    def authorization(self, **changes: object) -> str:
        """A header whose token has other claims. None leaves a claim out."""
        claims = {"aud": "http://127.0.0.1", "exp": int(time.time()) + 3600, "sub": "mailto:shop@example.org"}
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        return f"vapid t={jwt.encode(claims, self.private, 'ES256')}, k={self.public}"


SHOP, STRANGER = Sender(), Sender()


def browser(world, sender: Sender = SHOP) -> SimpleNamespace:
    status, made = world.call("POST", "/push/subscriptions", {"applicationServerKey": sender.public})
    assert status == 201
    keys = {name: made[name] for name in ("p256dh", "auth")}
    subscription = WebPushSubscription.model_validate({"endpoint": made["endpoint"], "keys": keys})
    assert made["endpoint"].startswith(f"http://127.0.0.1:{world.http}/push/")
    return SimpleNamespace(path=made["endpoint"].removeprefix(f"http://127.0.0.1:{world.http}"), keys=subscription)


def push(world, to: SimpleNamespace, text: object = TEXT, key: str | None = None, sender: Sender = SHOP, **headers):
    """Send a message. Returns the status and the answer's headers; a header of None is left out."""
    message = sender.push.get(text, to.keys)
    own = {**message.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    sent = {name: value for name, value in own.items() if value is not None}
    status, _, answer = world.fetch("POST", to.path, message.encrypted, key, headers=sent)
    return status, answer


def test_a_browser_shows_the_text_that_was_encrypted_for_it(world):
    status, headers = push(world, browser(world), key="shipped:1001")
    assert (status, headers["TTL"]) == (201, "60")
    assert "/push/messages/" in headers["Location"]
    (one,) = messages(world, "push")
    assert one["text"].splitlines() == list(TEXT.values())
    assert world.counts() == {("push", "shipped", "shipped:1001"): 1}


def test_the_example_of_rfc_8291_is_read():
    body = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3"
        "jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    raw = [
        urlsafe_b64decode(text + "==")
        for text in (body, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94", "BTBZMqHH6r4Tts7J_aSIgg")
    ]
    assert decrypt(*raw) == "When I grow up, I want to be a watermelon"


def test_a_repeated_push_is_shown_once_in_each_browser_and_is_one_effect(world):
    both = [browser(world), browser(world)]
    for to in both * 2:
        assert push(world, to, key="shipped:1001")[0] == 201
    assert len(messages(world, "push")) == 2
    assert world.counts() == {("push", "shipped", "shipped:1001"): 1}


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"aud": "https://push.example"}, "Audience doesn't match"),
        ({"aud": None}, "aud"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": 4_000_000_000}, "24 hours"),
        ({"sub": None}, "sub"),
        ({"sub": "shop"}, "mailto"),
    ],
)
def test_a_token_with_a_wrong_claim_is_forbidden(world, claims, word):
    to = browser(world)
    message = SHOP.push.get("x", to.keys)
    headers = message.headers | {"authorization": SHOP.authorization(**claims)}
    status, problem = world.call("POST", to.path, message.encrypted, headers=headers)
    assert status == 403
    assert word in problem["detail"]
    assert messages(world) == []


def test_only_the_sender_for_whom_a_browser_subscribed_reaches_it(world):
    to = browser(world)
    assert push(world, to, sender=STRANGER)[0] == 403
    forged = SHOP.authorization().replace("t=", "t=x")
    stolen = f"{STRANGER.authorization().partition(',')[0]}, k={SHOP.public}"
    for authorization, status in ((None, 401), ("Bearer x", 401), (forged, 403), (stolen, 403)):
        assert push(world, to, authorization=authorization)[0] == status
    assert messages(world) == []


def test_a_push_that_breaks_the_protocol_is_refused(world):
    to = browser(world)
    assert push(world, to, ttl=None)[0] == 400
    assert push(world, to, ttl="-1")[0] == 400
    assert push(world, to, content_encoding="aesgcm")[0] == 415
    assert push(world, to, "x" * 4050)[0] == 413
    other = SimpleNamespace(path=to.path, keys=browser(world).keys)  # encrypted for another browser
    assert push(world, other)[0] == 400
    assert world.call("POST", "/push/subscriptions", {"applicationServerKey": "A" * 87})[0] == 422
    assert messages(world) == []


def test_an_expired_browser_is_gone_and_an_unknown_one_is_not_found(world):
    to = browser(world)
    assert world.call("DELETE", to.path)[0] == 204
    assert push(world, to)[0] == 410
    assert push(world, SimpleNamespace(path="/push/" + "x" * 22, keys=to.keys))[0] == 404


# Erasure


def test_a_person_is_forgotten_by_each_channel_and_the_effects_stay(world):
    for person in ("7", "s7"):
        mail = receipt(f"100{len(person)}", f"Of {person}")
        mail["X-Person"] = person
        world.send(mail)
        assert world.call("POST", "/sms/messages", SMS | {"person": person}, f"shipped:{person}")[0] == 201
        assert push(world, browser(world), key=f"push:{person}", x_person=person)[0] == 201
    effects = world.counts()
    for channel in ("mail", "sms", "push"):
        assert world.call("POST", f"/{channel}/erasures", {"person": "7"}) == (200, {"status": "erased"})
    assert [(each["channel"], each["person"]) for each in messages(world)] == [
        ("push", "s7"),
        ("sms", "s7"),
        ("mail", "s7"),
    ]
    assert world.counts() == effects
    with sqlite3.connect(world.var / "partners.sqlite") as store:
        query = "SELECT key FROM answers WHERE partner = 'sms' AND fingerprint = ''"
        assert store.execute(query).fetchall() == [("shipped:7",)]  # a hash of a number tells the number
    assert world.call("POST", "/sms/messages", SMS | {"person": "7"}, "shipped:7")[0] == 422


def test_the_messages_of_an_order_are_forgotten(world):
    world.call("POST", "/sms/messages", SMS, "shipped:1001")
    world.call("POST", "/sms/messages", SMS, "shipped:1002")
    push(world, browser(world), key="delivered:1001")
    for channel in ("sms", "push"):
        assert world.call("POST", f"/{channel}/erasures", {"order": "1001"})[0] == 200
    assert [each["key"] for each in messages(world)] == ["shipped:1002"]


@pytest.mark.parametrize("body", [{}, {"order": "1001", "person": "7"}, {"person": "x" * 41}])
def test_an_erasure_names_an_order_or_a_person(world, body):
    assert world.call("POST", "/mail/erasures", body)[0] == 422
    assert world.call("POST", "/warehouse/erasures", {"person": "7"})[0] == 422


# The inbox


def test_the_inbox_lists_all_kinds_and_filters_them(world):
    world.send(receipt(subject="A mail"))
    world.call("POST", "/sms/messages", SMS | {"text": "An SMS"})
    push(world, browser(world), "A push")
    everything = world.page("/")
    assert everything.index("A push") < everything.index("An SMS") < everything.index("A mail")
    assert "3 messages" in everything
    for kind, own in {"mail": "A mail", "sms": "An SMS", "push": "A push"}.items():
        page = world.page(f"/?kind={kind}")
        assert {text for text in ("A mail", "An SMS", "A push") if text in page} == {own}
        assert "1 message<" in page
    assert "An SMS" in world.page("/?q=an+sms")
    assert "An SMS" not in world.page("/?q=an+sms&kind=mail")
    for junk in ("voice", "%27", "x" * 300):
        assert "No messages" in world.page(f"/?kind={junk}")


def test_a_message_is_shown_as_text_whatever_it_holds(world):
    hostile = "<script>alert(1)</script> שלום 🍏 " + "x" * 400
    world.call("POST", "/sms/messages", SMS | {"text": hostile})
    push(world, browser(world), {"title": hostile, "body": "</div><iframe src=//evil.example>"})
    for path in ["/", *(f"/mails/{message['id']}/" for message in messages(world))]:
        page = world.page(path)
        assert "&lt;script&gt;alert(1)&lt;/script&gt; שלום 🍏" in page
        assert "<script" not in page
        assert "<iframe" not in page
    for part in ("html", "attachments/0"):
        assert world.call("GET", f"/mails/{messages(world)[0]['id']}/{part}", port=world.inbox)[0] == 404


def test_a_push_that_is_no_json_or_empty_is_shown(world):
    for text in ("two\nlines", "[1]", '"x"', "{", " "):
        assert push(world, browser(world), text)[0] == 201
    pages = [world.page(f"/mails/{message['id']}/") for message in messages(world)]
    assert "lines" in pages[-1]
