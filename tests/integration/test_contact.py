"""A customer chooses how we reach them, and a stranger can not have us post elsewhere."""

import base64
import json
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from notifications import browsers, push
from notifications.forms import e164
from notifications.models import Channel, Contact, PushSubscription
from tests.integration import staff

pytestmark = pytest.mark.django_db

CHOICE = {"channel": "sms", "phone": "+353 86 123 4567", "time_zone": "Asia/Kolkata"}
GOOGLE = "https://fcm.googleapis.com/fcm/send/abc:DEF-123"


@pytest.fixture(autouse=True)
def _key(settings):
    settings.VAPID_PRIVATE_KEY = base64.urlsafe_b64encode(b"\x07" * 32).decode()


@pytest.fixture
def client() -> Client:
    return staff.customer()


def page() -> str:
    return reverse("accounts:notifications")


def subscription(endpoint: str = GOOGLE, **keys: object) -> str:
    """As a browser's JSON.stringify writes it."""
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    raw = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    made = {"p256dh": base64.urlsafe_b64encode(raw).decode(), "auth": base64.urlsafe_b64encode(b"\x01" * 16).decode()}
    return json.dumps({"endpoint": endpoint, "expirationTime": None, "keys": made | keys})


def test_a_customer_chooses_sms_and_a_time_zone(client):
    assert client.get(page()).status_code == 200
    assert client.post(page(), CHOICE, follow=True).redirect_chain == [(page(), 302)]
    contact = Contact.objects.get()
    assert (contact.channel, contact.phone, contact.time_zone) == ("sms", "+353861234567", "Asia/Kolkata")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"phone": ""}, "Enter a phone number for SMS."),
        ({"phone": "086 123 4567"}, "Enter the number with its country code"),
        ({"phone": "+353 86 1234567; +1"}, "Enter the number with its country code"),
        ({"channel": "push"}, "First turn them on in this browser, under Browsers below."),
        ({"channel": "fax"}, "Select a valid choice."),
        ({"time_zone": "../../etc/passwd"}, "Select a valid choice."),
    ],
)
def test_a_wrong_choice_is_answered_beside_its_field(client, wrong, sentence):
    answer = client.post(page(), CHOICE | wrong)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert Contact.objects.filter(channel=Channel.MAIL, phone="").count() == 1


@pytest.mark.parametrize(
    ("who", "address", "field"),
    [
        (Client, "/accounts/sign-up/", "email"),
        (Client, "/accounts/login/", "login"),
        (Client, "/accounts/password/forgotten/", "email"),
        (staff.customer, "/accounts/notifications/", "phone"),
        (staff.customer, "/accounts/webhooks/", "url"),
    ],
)
def test_no_browser_cuts_what_is_typed_without_a_word(who, address, field):
    found = re.search(f'<input [^>]*name="{field}"[^>]*>', who().get(address).content.decode())
    assert found
    assert "maxlength" not in found[0]


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("", ""),
        (" +353 (86) 123-4567 ", "+353861234567"),
        ("0048 58 123 45 67", "+48581234567"),
        ("+1.212.555.0100", "+12125550100"),
        ("+353\u00a086\u20111234567", "+353861234567"),
    ],
)
def test_a_number_is_kept_in_one_form(typed, number):
    assert e164(typed) == number


@pytest.mark.parametrize(
    "typed", ["12", "+0861234567", "+35386123456789012", "+353861234567\n+1", "+٣٥٣٨٦١٢٣٤٥٦٧", "tel:+353861"]
)
def test_other_text_is_no_number(typed):
    with pytest.raises(ValidationError):
        e164(typed)


def test_only_a_signed_in_customer_has_the_page():
    address = reverse("accounts:browser")
    assert Client().get(page()).status_code == 302
    assert Client().post(address, {"subscription": subscription()}).status_code == 302
    assert staff.operator().get(page()).status_code == 403
    assert Client(enforce_csrf_checks=True).post(address, {"off": ""}).status_code == 403
    assert not PushSubscription.objects.exists()


def test_a_browser_is_turned_on_for_the_last_person_who_asked_and_off_in_all(client):
    first, text = User.objects.get(), subscription()
    client.post(reverse("accounts:browser"), {"subscription": text})
    assert (PushSubscription.objects.get().user, first.contact.channel) == (first, Channel.PUSH)
    second = User.objects.create(username="second")
    browsers.subscribe(second, text)
    assert PushSubscription.objects.get().user == second
    client.post(reverse("accounts:browser"), {"off": ""})
    assert Contact.objects.get(user=first).channel == Channel.MAIL
    assert PushSubscription.objects.get().user == second


def test_a_browser_that_is_on_is_not_offered_again_and_another_one_is(client):
    on, offer = "This browser gets them.", 'id="offer"'
    client.post(reverse("accounts:browser"), {"subscription": subscription()})
    seen, elsewhere = (each.get(page()).content.decode() for each in (client, staff.customer()))
    assert on in seen
    assert offer not in seen
    assert on not in elsewhere
    assert offer in elsewhere
    client.post(reverse("accounts:browser"), {"off": ""})
    staff.customer().post(reverse("accounts:browser"), {"subscription": subscription(f"{GOOGLE}2")})
    assert offer in client.get(page()).content.decode()


def test_a_person_has_ten_browsers_at_most():
    user = User.objects.create(username="many")
    for number in range(browsers.MOST + 2):
        browsers.subscribe(user, subscription(f"{GOOGLE}{number}"))
    endpoints = list(user.push_subscriptions.order_by("id").values_list("endpoint", flat=True))
    assert endpoints == [f"{GOOGLE}{number}" for number in range(2, browsers.MOST + 2)]


PARTNER = "http://127.0.0.1:8100"
ELSEWHERE = [
    "http://fcm.googleapis.com/fcm/send/x",
    "https://fcm.googleapis.com:8443/x",
    "https://fcm.googleapis.com.evil.example/x",
    "https://evil.example/fcm.googleapis.com/x",
    "https://fcm.googleapis.com@evil.example/x",
    "https://evil.example\\@fcm.googleapis.com/x",
    "https://evil.example#@fcm.googleapis.com/x",
    "https://fcm.googleapis.com/x y",
    "https://fcm.googleapis.com/x\r\nHost: evil.example",
    "https://FCM.googleapis.com./x",
    "https://a.b.notify.windows.com/x",
    "https://no-such-1.push.apple.com/x",
    "https://127.0.0.1/x",
    "https://[::1]/x",
    "https://2130706433/x",
    "https://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    f"{PARTNER}/payments/refunds",
    f"{PARTNER}/push/../payments/refunds",
    f"{PARTNER}/push/%2e%2e/reset",
    f"{PARTNER}/push/a?b",
    "http://127.0.0.1:81000/push/a",
    "",
]


@pytest.mark.parametrize("endpoint", ELSEWHERE)
def test_an_address_of_no_push_service_is_refused(endpoint, settings):
    settings.BACKROOM_PARTNERS_URL = PARTNER
    with pytest.raises(ValidationError):
        browsers.subscribe(User.objects.create(username="stranger"), subscription(endpoint))


@pytest.mark.parametrize(
    "endpoint",
    [
        GOOGLE,
        "https://updates.push.services.mozilla.com/wpush/v2/gAAAA_-x",
        "https://web.push.apple.com/QGPg_-x",
        "https://wns2-par02p.notify.windows.com/w/?token=BQYAAAD%2bx",
        f"{PARTNER}/push/aB_-1",
    ],
)
def test_an_address_of_a_push_service_is_taken(endpoint, settings):
    settings.BACKROOM_PARTNERS_URL = PARTNER
    assert push.known_service(endpoint)


@pytest.mark.parametrize(
    "text",
    [
        "", "none", "null", "[]", "{}", '{"endpoint": 1}', "[" * 5000,
        subscription(p256dh="AAAA"), subscription(p256dh=1), subscription(auth="AAAA"), subscription(auth="\x00"),
        subscription(p256dh=base64.urlsafe_b64encode(b"\x04" + b"\x01" * 64).decode()),
    ],
    ids=range(12),
)  # fmt: skip
def test_a_subscription_that_makes_no_sense_is_refused(client, text, settings):
    settings.DEBUG = False
    answer = client.post(reverse("accounts:browser"), {"subscription": text}, follow=True)
    assert "can&#x27;t be used" in answer.content.decode()
    assert not PushSubscription.objects.exists()


def test_without_a_key_no_browser_is_offered_notifications(client, settings):
    settings.VAPID_PRIVATE_KEY = ""
    words = client.get(page()).content.decode()
    assert 'id="browser"' not in words
    assert 'value="push"' not in words


def test_the_service_worker_may_see_every_page_and_is_served_as_a_script():
    answer = Client().get("/service-worker.js")
    assert answer["Content-Type"].startswith("text/javascript")
    assert "default-src 'self'" in answer["Content-Security-Policy"]
