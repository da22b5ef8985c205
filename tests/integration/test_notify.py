"""One event, one notice, by the person's channel, and by mail if that fails for good: against the real partners."""

import base64
import json
import re
from copy import copy
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
import urllib3
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from standardwebhooks.webhooks import Webhook

from backroom.ledger.models import Job, State
from backroom.outbound import breaker, http
from backroom.outbound.errors import PartnerUnavailable
from backroom.outbound.http import Partner
from notifications import bounces, browsers, kinds, push, retention, transitions
from notifications.kinds import Kind, Message
from notifications.models import Bounce, Channel, Contact, Notice, PushSubscription
from notifications.notify import notify
from tests.integration.buying import all_at_once, attempt, effects, fault

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners", "parcel")]

SECRET = "whsec_" + base64.b64encode(b"a secret of the shop, 32 bytes..").decode()
GOOD, UNKNOWN, UNREACHABLE = "+353861234567", "+353861230000", "+353861231111"
ADDRESS = "zoe@example.com"
wanted = {"parcel": True}


def compose(about: str, user: User | None) -> Message | None:
    """The text of a notice about a parcel, while it is wanted."""
    context = {"name": "Zoë"}
    message = Message(
        ADDRESS, "Your parcel", "hello", context, f"Parcel {about} is on its way.", "https://shop.example/p"
    )
    return message if wanted["parcel"] else None


@pytest.fixture
def parcel(monkeypatch, settings, tmp_path):
    """The kind of notice that these tests are about, with templates of its mail."""
    for ending in ("txt", "html"):
        (tmp_path / f"hello.{ending}").write_text(f'{{% extends "notifications/mail.{ending}" %}}')
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    settings.WEBHOOK_SECRETS = {"sms": SECRET, "mail": SECRET}
    settings.VAPID_PRIVATE_KEY = base64.urlsafe_b64encode(b"\x07" * 32).decode()
    monkeypatch.setattr(kinds, "KINDS", (Kind("parcel", f"{__name__}.compose"),))
    monkeypatch.setitem(wanted, "parcel", True)


def person(channel: Channel = Channel.MAIL, phone: str = GOOD) -> User:
    """A person who chose a channel. With push, they have one browser."""
    user = User.objects.create(username=f"person-{channel}-{phone}")
    Contact.objects.create(user=user, channel=channel, phone=phone)
    if channel == Channel.PUSH:
        subscribe(user)
    return user


def subscribe(user: User) -> str:
    """One more browser of a person; its address at the push service."""
    answer = Partner("push").post("/push/subscriptions", {"applicationServerKey": push.public_key()}, key="")
    browsers.subscribe(user, json.dumps({"endpoint": answer["endpoint"], "keys": answer}))
    return answer["endpoint"]


def notice() -> Notice:
    return Notice.objects.get()


def send(channel: Channel, about: str = "1") -> Notice:
    """The notice after one attempt of its job for a channel, which may have run before."""
    Job.objects.filter(key=f"{channel}:parcel:{about}").update(state=State.READY)
    attempt(f"{channel}:parcel:{about}")
    return notice()


def post(
    event: str, partner: str = "sms", secret: str = SECRET, at: datetime | None = None, **data: object
) -> HttpResponse:
    """What a partner reports, signed now."""
    now = datetime.now(UTC)
    body = json.dumps({"type": event, "timestamp": (at or now).isoformat(), "data": data})
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body),
    }
    return Client().post(f"/webhooks/{partner}", body, content_type="application/json", headers=headers)


def receipt(event: str, id: str) -> None:
    assert post(f"message.{event}", key="parcel:1", id=id, reason="").status_code == 204


@pytest.mark.parametrize("channel", [Channel.MAIL, Channel.SMS, Channel.PUSH])
def test_a_notice_is_sent_once_by_the_chosen_channel(channel):
    user = person(channel)
    for _ in range(2):
        notify(user, "parcel", about="1")
    assert send(channel).state == Notice.State.ACCEPTED
    notify(user, "parcel", about="1")
    assert effects() == {f"{channel}/parcel parcel:1": 1}
    assert list(Job.objects.values_list("key", "state")) == [(f"{channel}:parcel:1", State.SUCCEEDED)]


@pytest.mark.django_db(transaction=True)
def test_of_many_calls_at_once_one_makes_the_notice():
    user = person()
    assert all_at_once(*[lambda: notify(user, "parcel", about="1")] * 4) == [None] * 4
    assert (Notice.objects.count(), Job.objects.count()) == (1, 1)


def test_an_event_that_is_rolled_back_leaves_no_notice_and_no_job():
    with transaction.atomic():
        notify(None, "parcel", about="1")
        transaction.set_rollback(True)
    assert (Notice.objects.count(), Job.objects.count()) == (0, 0)


def test_a_guest_and_a_person_who_can_not_be_reached_by_their_choice_get_a_mail():
    for about, user in enumerate(
        [None, person(Channel.SMS, phone=""), User.objects.create(username="without a contact")]
    ):
        notify(user, "parcel", about=str(about))
    assert set(Notice.objects.values_list("channel", flat=True)) == {Channel.MAIL}


def test_the_text_arrives_on_the_phone_and_in_the_browser_without_the_name(partners):
    for about, channel in enumerate([Channel.SMS, Channel.PUSH]):
        notify(person(channel), "parcel", about=str(about))
        attempt(f"{channel}:parcel:{about}")
    found = urllib3.request("GET", f"{partners}/messages").json()["messages"]
    assert [each["channel"] for each in found] == ["push", "sms"]
    assert found[1]["text"] == "Parcel 0 is on its way. https://shop.example/p"
    assert "Parcel 1 is on its way." in found[0]["text"]
    assert "Zoë" not in str(found)


@pytest.mark.parametrize("channel", [Channel.MAIL, Channel.SMS, Channel.PUSH])
def test_a_partner_has_the_id_of_the_person_by_which_it_forgets_the_message(channel, partners):
    user = person(channel)
    notify(user, "parcel", about="1")
    send(channel)
    (message,) = urllib3.request("GET", f"{partners}/messages").json()["messages"]
    assert message["person"] == str(user.pk)


def test_what_is_no_longer_wanted_is_not_sent(monkeypatch):
    notify(person(), "parcel", about="1")
    monkeypatch.setitem(wanted, "parcel", False)
    assert send(Channel.MAIL).state == Notice.State.UNWANTED
    monkeypatch.setitem(wanted, "parcel", True)
    assert send(Channel.MAIL).state == Notice.State.UNWANTED
    assert effects() == {}


def old(channel: Channel) -> None:
    """As if the notice had waited longer than its kind's patience for the channel."""
    notify(person(channel), "parcel", about="1")
    Notice.objects.update(created_at=datetime.now(UTC) - kinds.KINDS[0].patience)


def unknown_number() -> None:
    notify(person(Channel.SMS, UNKNOWN), "parcel", about="1")


def removed_number() -> None:
    notify(person(Channel.SMS), "parcel", about="1")
    Contact.objects.update(phone="")


def provider_away() -> None:
    fault("sms", down=True)
    old(Channel.SMS)


def expired_browser() -> None:
    user = person(Channel.PUSH)
    notify(user, "parcel", about="1")
    urllib3.request("DELETE", user.push_subscriptions.get().endpoint)


def strange_address() -> None:
    user = person(Channel.PUSH)
    notify(user, "parcel", about="1")
    user.push_subscriptions.update(endpoint="http://127.0.0.1:1/push/x")


def removed_key() -> None:
    """The fixture `parcel` gives it back."""
    notify(person(Channel.PUSH), "parcel", about="1")
    settings.VAPID_PRIVATE_KEY = ""


def push_service_fails() -> None:
    old(Channel.PUSH)
    fault("push", error_rate=1)


def deleted_account() -> None:
    user = person(Channel.PUSH)
    notify(user, "parcel", about="1")
    user.delete()


FAILURES = [
    unknown_number, removed_number, provider_away, expired_browser, strange_address, removed_key,
    push_service_fails, deleted_account,
]  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: each.__name__)
def test_mail_takes_over_once_from_a_channel_that_fails_for_good(failure):
    failure()
    channel = notice().channel
    for _ in range(2):
        send(channel)
    assert (notice().channel, notice().state) == (Channel.MAIL, Notice.State.WAITING)
    assert Job.objects.get(key=f"{channel}:parcel:1").state == State.SUCCEEDED
    assert send(Channel.MAIL).state == Notice.State.ACCEPTED
    assert effects() == {"mail/parcel parcel:1": 1}


@pytest.mark.django_db(transaction=True)
def test_of_many_causes_of_a_fallback_at_once_one_enqueues_the_mail():
    notify(person(Channel.SMS), "parcel", about="1")
    one = notice()
    assert all_at_once(*[lambda: transitions.fall_back(copy(one))] * 4) == [None] * 4
    assert set(Job.objects.values_list("key", flat=True)) == {"sms:parcel:1", "mail:parcel:1"}
    assert notice().channel == Channel.MAIL


@pytest.mark.parametrize("partner", ["sms", "push"])
def test_a_channel_that_fails_for_a_moment_is_tried_again(partner):
    notify(person(Channel(partner)), "parcel", about="1")
    fault(partner, error_rate=1)
    assert send(Channel(partner)).state == Notice.State.WAITING
    fault(partner)
    assert send(Channel(partner)).state == Notice.State.ACCEPTED
    assert effects() == {f"{partner}/parcel parcel:1": 1}


def test_a_browser_that_left_is_forgotten_and_the_others_get_the_notification():
    user = person(Channel.PUSH)
    gone, stays = user.push_subscriptions.get().endpoint, subscribe(user)
    urllib3.request("DELETE", gone)
    notify(user, "parcel", about="1")
    assert send(Channel.PUSH).state == Notice.State.ACCEPTED
    assert [each.endpoint for each in user.push_subscriptions.all()] == [stays]


def test_a_person_whose_push_services_do_not_exist_stops_no_other_persons_notifications(monkeypatch):
    monkeypatch.setattr(push, "SERVICES", re.compile(r"https://127\.0\.0\.[2-9]:1/x"))
    first = person(Channel.PUSH)
    for number in range(3, 3 + breaker.THRESHOLD):
        keys = first.push_subscriptions.values("p256dh", "auth")[0]
        PushSubscription.objects.create(user=first, endpoint=f"https://127.0.0.{number}:1/x", **keys)
    notify(first, "parcel", about="1")
    assert send(Channel.PUSH).state == Notice.State.ACCEPTED
    first.push_subscriptions.order_by("id")[0].delete()
    for _ in range(2):
        with pytest.raises(PartnerUnavailable):
            push.send("parcel:2", first, "Your parcel", "It is on its way.", "https://shop.example/p")
    assert {one["state"] for one in breaker.states()} == {"closed"}


def test_a_browser_maker_reads_neither_the_order_nor_the_person(monkeypatch):
    user, heard = person(Channel.PUSH), []
    user.push_subscriptions.update(endpoint="https://fcm.googleapis.com/fcm/send/x")

    def answer(method: str, url: str, **options: object) -> None:
        heard.append((url, options["headers"]))
        raise urllib3.exceptions.HTTPError

    monkeypatch.setattr(http._pool, "request", answer)
    with pytest.raises(PartnerUnavailable):
        push.send("parcel:1001", user, "Your parcel", "It is on its way.", "https://shop.example/p")
    ((url, headers),) = heard
    assert url == "https://fcm.googleapis.com/fcm/send/x"
    assert "x-person" not in {name.lower() for name in headers}
    assert "1001" not in str(headers)


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.PUSH])
def test_a_worker_that_dies_before_its_commit_sends_nothing_twice(channel):
    user = person(channel)
    notify(user, "parcel", about="1")
    send(channel)
    Notice.objects.update(state=Notice.State.WAITING, provider_id="")
    assert send(channel).state == Notice.State.ACCEPTED
    assert effects() == {f"{channel}/parcel parcel:1": 1}


EVENTS = ["accepted", "delivered", "failed", "failed"]


@pytest.mark.parametrize("events", sorted(set(permutations(EVENTS))), ids="-".join)
def test_the_first_receipt_holds_in_whatever_order_and_before_our_own_commit(events):
    notify(person(Channel.SMS), "parcel", about="1")
    for event in events:
        send(Channel.SMS) if event == "accepted" else receipt(event, notice().provider_id or "sms_early")
    first = next(event for event in events if event != "accepted")
    fell_back = first == "failed"
    assert notice().state == (Notice.State.WAITING if fell_back else Notice.State.DELIVERED)
    assert Job.objects.filter(key="mail:parcel:1").count() == fell_back
    send(Channel.SMS)
    sent_first = events[0] == "accepted"
    assert effects(partner="sms") == ({"sms/parcel parcel:1": 1} if sent_first else {})


def test_a_receipt_of_another_message_or_of_no_notice_changes_nothing():
    notify(person(Channel.SMS), "parcel", about="1")
    send(Channel.SMS)
    receipt("failed", "sms_other")
    assert post("message.failed", key="parcel:2", id="sms_1").status_code == 204
    assert post("message.read", key="parcel:1", id=notice().provider_id).status_code == 204
    assert [post("account.low", partner).status_code for partner in ("sms", "mail")] == [204, 204]
    assert notice().state == Notice.State.ACCEPTED


@pytest.mark.parametrize("address", ["sms", "mail"])
def test_a_forged_webhook_changes_nothing(address, settings):
    notify(person(Channel.SMS), "parcel", about="1")
    send(Channel.SMS)
    other = "whsec_" + base64.b64encode(b"another secret, of 32 bytes.....").decode()
    data = {"key": "parcel:1", "id": notice().provider_id, "address": ADDRESS, "reason": "-", "message_id": "<a@b>"}
    event = "message.failed" if address == "sms" else "mail.bounced"
    assert post(event, address, other, **data).status_code == 401
    settings.WEBHOOK_SECRETS = {"sms": "", "mail": ""}
    assert post(event, address, SECRET, **data).status_code == 401
    assert Client().post(f"/webhooks/{address}", "{}", content_type="application/json").status_code == 401
    assert (notice().channel, Bounce.objects.count()) == (Channel.SMS, 0)


def test_a_mail_that_is_refused_for_good_fails_and_a_replay_can_mend_it():
    notify(None, "parcel", about="1")
    fault("mail", error_rate=1, status=550)
    assert send(Channel.MAIL).state == Notice.State.FAILED
    assert Job.objects.get().state == State.DEAD
    fault("mail")
    assert send(Channel.MAIL).state == Notice.State.ACCEPTED


def test_a_bounce_is_kept_once_and_its_notice_has_failed():
    notify(None, "parcel", about="1")
    seen = send(Channel.MAIL)
    assert not bounces.bounced(ADDRESS)
    data = {"address": ADDRESS.title(), "reason": "no mailbox " * 100, "message_id": "<parcel.1@backroom.example>"}
    for _ in range(2):
        assert post("mail.bounced", "mail", **data).status_code == 204
    assert bounces.bounced(ADDRESS.upper())
    assert notice().state == Notice.State.FAILED
    assert len(Bounce.objects.get().reason) == 300
    seen.state = Notice.State.WAITING  # as if the bounce had come before the sender's commit
    transitions.accept(seen, "")
    assert notice().state == Notice.State.FAILED


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"address": "no address", "reason": "-"},
        {"address": f"zoe@{'long.' * 50}example.com", "reason": "-"},
        {"address": ADDRESS, "reason": ""},
        {"address": ADDRESS, "reason": 1},
    ],
)
def test_a_bounce_that_makes_no_sense_is_refused(data):
    assert post("mail.bounced", "mail", **({"message_id": "<a@b>"} | data)).status_code == 400


def test_old_notices_are_deleted(settings):
    for about in ("1", "2"):
        notify(None, "parcel", about=about)
    old = datetime.now(UTC) - timedelta(days=settings.CUSTOMER_RETENTION_DAYS, minutes=1)
    Notice.objects.filter(about="1").update(created_at=old)
    assert retention.purge() == 1
    assert notice().about == "2"


def test_staff_read_notices_and_delete_a_bounce_of_an_address_that_works_again():
    notify(None, "parcel", about="1")
    bounce = Bounce.objects.create(address=ADDRESS, reason="no mailbox")
    client = Client()
    client.force_login(User.objects.create_superuser("chief"))
    for address in ("notice/", f"notice/{notice().pk}/change/", "bounce/", f"bounce/{bounce.pk}/change/"):
        assert client.get(f"/admin/notifications/{address}").status_code == 200
    assert client.post(f"/admin/notifications/notice/{notice().pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(f"/admin/notifications/bounce/{bounce.pk}/delete/", {"post": "yes"})
    assert not bounces.bounced(ADDRESS)
    assert ADDRESS not in client.get("/admin/notifications/bounce/").content.decode()


def test_a_bounce_that_was_lifted_counts_again_only_if_a_later_mail_bounced():
    bounced = {"address": ADDRESS, "reason": "no mailbox", "message_id": "<a@b>"}
    before = datetime.now(UTC)
    post("mail.bounced", "mail", at=before, **bounced)
    bounces.lift(Bounce.objects.all())
    post("mail.bounced", "mail", at=before, **bounced)
    assert not bounces.bounced(ADDRESS)
    post("mail.bounced", "mail", at=before + timedelta(hours=1), **bounced)
    assert bounces.bounced(ADDRESS)
