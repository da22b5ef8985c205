"""What an owner does with endpoints, on pages and not, which events an order has, and how long they are kept."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from backroom.ledger import lanes
from backroom.ledger.models import Job, State
from backroom.outbound import strangers
from notifications import personal_data, retention
from notifications.endpoints import transitions
from notifications.endpoints.events import send_test
from notifications.endpoints.forms import MOST
from notifications.endpoints.models import Delivery, Endpoint, Event
from orders.fulfilment import capture
from orders.models import Order
from orders.ordering import cancellation, checkout, settlement, shipments
from orders.ordering.basket import Wanted
from shop.environment import LIMITS
from tests.integration.accounts import account, fresh, stranger
from tests.integration.buying import CUSTOMER, all_at_once, attempt, product
from tests.integration.endpoints import a_client, a_receiver, an_endpoint, announce, send, used_up  # noqa: F401 - fixtures
from tests.integration.paid_orders import paid_order
from tests.integration.receiver import reply

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


# What its owner does


def test_a_paused_endpoint_keeps_its_events_and_a_resume_sends_them(endpoint, receiver):
    transitions.pause(endpoint.pk)
    delivery = announce(endpoint)
    job = send(delivery)
    assert (job.state, job.attempts, receiver.requests) == (State.WAITING, 0, [])
    assert job.run_at > timezone.now() + 23 * HOUR
    transitions.resume(endpoint.pk)
    job.refresh_from_db()
    assert job.run_at <= timezone.now()
    send(delivery)
    assert delivery.state == Delivery.State.DELIVERED


@pytest.mark.django_db(transaction=True)
def test_two_clicks_replay_a_delivery_once_and_its_former_round_is_over(endpoint, receiver):
    delivery = announce(endpoint)
    send(delivery)
    mine = Delivery.objects.filter(pk=delivery.pk)
    assert sorted(all_at_once(*[lambda: transitions.replay(mine)] * 3)) == [0, 0, 1]
    Job.objects.filter(key=f"webhook:{delivery.pk}-1").update(state=State.READY)
    attempt(f"webhook:{delivery.pk}-1")
    assert len(receiver.requests) == 1
    assert send(delivery).key == f"webhook:{delivery.pk}-2"
    assert (delivery.state, len(receiver.requests)) == (Delivery.State.DELIVERED, 2)


def test_what_failed_since_a_time_is_replayed_and_nothing_else(endpoint, receiver):
    states = [Delivery.State.FAILED, Delivery.State.CANCELLED, Delivery.State.DELIVERED, Delivery.State.FAILED]
    deliveries = [announce(endpoint, number) for number in range(4)]
    for delivery, state in zip(deliveries, states, strict=True):
        Delivery.objects.filter(pk=delivery.pk).update(state=state)
    Delivery.objects.filter(pk=deliveries[3].pk).update(created_at=timezone.now() - 2 * HOUR)
    assert transitions.replay(transitions.unsent(endpoint.pk, HOUR)) == 2
    assert [bool(Delivery.objects.filter(pk=each.pk, round=2)) for each in deliveries] == [True, True, False, False]


@pytest.mark.parametrize(("in_order", "passes"), [(False, True), (True, False)])
def test_a_failed_event_holds_up_the_later_ones_only_strictly_in_order(endpoint, receiver, in_order, passes):
    Endpoint.objects.update(in_order=in_order)
    receiver.says = reply(500)
    first, second = announce(endpoint), announce(endpoint, 2)
    name = Job.objects.get(key=f"webhook:{first.pk}-1").lane
    assert [message.id for message in lanes.open_lanes([name])] == [
        str(Job.objects.get(key=f"webhook:{first.pk}-1").pk)
    ]
    send(first)
    lanes.open_lanes([name])
    assert (Job.objects.get(key=f"webhook:{second.pk}-1").state == State.READY) is passes


@pytest.mark.parametrize("in_order", [True, False])
def test_a_change_of_strictly_in_order_leaves_one_request_at_a_time_and_what_waits_first(endpoint, in_order):
    Endpoint.objects.update(in_order=not in_order)
    first = announce(endpoint)
    Endpoint.objects.update(in_order=in_order)
    announce(endpoint, 2)
    (lane,) = set(Job.objects.values_list("lane", flat=True))
    assert [message.id for _ in range(2) for message in lanes.open_lanes([lane])] == [
        str(Job.objects.get(key=f"webhook:{first.pk}-1").pk)
    ]


def test_a_test_event_goes_to_its_endpoint_alone_whatever_that_chose(endpoint, receiver):
    Endpoint.objects.create(user=endpoint.user, url=endpoint.url)
    Endpoint.objects.filter(pk=endpoint.pk).update(events=["order.paid"])
    send_test(endpoint)
    send(Delivery.objects.get())
    assert b'"type":"test"' in receiver.requests[0]


# Personal data, and the end of events


def test_an_export_has_the_endpoints_and_an_erasure_leaves_none(endpoint, receiver):
    delivery = announce(endpoint)
    found = personal_data.export(endpoint.user.email, endpoint.user)
    assert [each["url"] for each in found["endpoints"]] == [endpoint.url]
    assert endpoint.secret not in str(found)
    assert [each["about"] for each in found["events"]] == ["1"]
    assert personal_data.erase(endpoint.user.email, endpoint.user) == []
    assert [model.objects.count() for model in (Endpoint, Event, Delivery)] == [0, 0, 0]
    assert attempt(f"webhook:{delivery.pk}-1").state == State.SUCCEEDED
    assert receiver.requests == []


def test_events_are_kept_for_thirty_days(endpoint):
    announce(endpoint)
    Event.objects.update(at=timezone.now() - timedelta(days=31))
    announce(endpoint, 2)
    assert retention.purge() == 2
    assert list(Event.objects.values_list("about", flat=True)) == ["2"]


# The events of an order


def types(order: Order) -> list[tuple[str, str]]:
    found = Event.objects.filter(about=str(order.number)).order_by("at")
    return [(event.type.removeprefix("order."), event.data["status"]) for event in found]


def owned(endpoint: Endpoint, **values) -> Order:
    return paid_order(user=endpoint.user, sent_at=timezone.now() - HOUR, **values)


@pytest.mark.django_db(transaction=True)
def test_a_purchase_and_its_cancellation_are_events_of_the_account(endpoint, partners):
    product()
    order = checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-approve", user=endpoint.user_id)
    assert types(order) == [("placed", "placed"), ("paid", "paid")]
    cancellation.cancel(order.number)
    capture.refund(order.number)
    assert types(order)[2:] == [("cancelled", "cancelled")]  # the payment was only reserved: nothing is refunded
    declined = checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-decline", user=endpoint.user_id)
    assert types(declined) == [("placed", "placed"), ("cancelled", "declined")]
    guest = checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-approve")
    assert types(guest) == []


@pytest.mark.django_db(transaction=True)
def test_the_refund_of_a_captured_payment_is_an_event_once(endpoint, partners):
    product()
    order = checkout.place(CUSTOMER, [Wanted("apples", 1)], "demo-approve", user=endpoint.user_id)
    capture.capture(order.number)
    Order.objects.update(status="cancelled")
    for _ in range(2):
        capture.refund(order.number)
    assert types(order)[2:] == [("refunded", "cancelled")]


def test_a_parcel_is_two_events_whatever_it_is_reported_twice(endpoint):
    order = owned(endpoint)
    for column, when in [("shipped_at", "SHIPPED"), ("shipped_at", "SHIPPED"), ("delivered_at", "DELIVERED")]:
        shipments._change(order.number, column, shipments.When[when], timezone.now())
    assert types(order) == [("shipped", "paid"), ("delivered", "paid")]


def test_an_order_without_an_endpoint_or_of_an_erased_or_locked_customer_has_no_event(endpoint):
    assert settlement.mark_paid(owned(endpoint, status="placed", erased_at=timezone.now()).number)
    assert settlement.mark_paid(paid_order(status="placed", user=account(fresh())).number)
    User.objects.filter(pk=endpoint.user_id).update(is_active=False)
    assert settlement.mark_paid(owned(endpoint, status="placed").number)
    assert not Event.objects.exists()


# The pages


def paths(endpoint: Endpoint, delivery: Delivery) -> list[str]:
    base = f"/accounts/webhooks/{endpoint.pk}/"
    acts = [f"{base}{act}/" for act in ("test", "pause", "resume", "rotate", "forget", "replay", "delete")]
    return [base, f"/accounts/webhooks/deliveries/{delivery.pk}/", *acts]


def test_another_persons_endpoint_is_like_an_unknown_one(endpoint, client):
    theirs = Endpoint.objects.create(user=account(fresh()), url=endpoint.url)
    for path in paths(theirs, announce(theirs)):
        assert client.post(path, {"url": endpoint.url}).status_code == 404
        assert client.get(path).status_code in (404, 405)
    theirs.refresh_from_db()
    assert (theirs.state, Delivery.objects.get().round) == (Endpoint.State.ACTIVE, 1)
    assert str(theirs.pk) not in re.findall(r"/webhooks/(\d+)/", client.get("/accounts/webhooks/").content.decode())


def test_a_guest_is_asked_to_sign_in_and_staff_are_refused(endpoint):
    staff = Client()
    staff.force_login(User.objects.create_superuser("boss"), "django.contrib.auth.backends.ModelBackend")
    for path in ["/accounts/webhooks/", *paths(endpoint, announce(endpoint))]:
        assert stranger().post(path).status_code in (302, 405)
        assert staff.post(path).status_code in (403, 405)
    assert Endpoint.objects.get().state == Endpoint.State.ACTIVE


def test_an_endpoint_is_added_changed_used_and_deleted_on_its_pages(endpoint, client, receiver):
    url = f"http://{receiver.allowed}/second?<b>"
    added = client.post("/accounts/webhooks/", {"url": url, "events": ["order.paid"], "in_order": "on"})
    mine = Endpoint.objects.latest("id")
    assert (added.status_code, added.url) == (302, f"/accounts/webhooks/{mine.pk}/")
    assert (mine.url, mine.events, mine.in_order) == (url, ["order.paid"], True)
    assert mine.secret != endpoint.secret
    assert mine.secret.encode() not in client.get("/accounts/webhooks/").content
    assert mine.secret.encode() in client.get(added.url).content
    client.post(added.url, {"url": url, "events": []})
    client.post(f"{added.url}test/")
    delivery = Delivery.objects.get()
    receiver.says = reply(500, b"<script>alert(1)</script>")
    send(delivery)
    assert b"hx-get" in client.get(added.url).content
    page = client.get(f"/accounts/webhooks/deliveries/{delivery.pk}/").content.decode()
    assert "Answer 500" in page
    assert "&lt;script&gt;alert(1)" in page
    Delivery.objects.update(state=Delivery.State.FAILED)
    for hours, rounds in ("", 1), ("999", 1), ("24", 2):
        client.post(f"{added.url}replay/", {"hours": hours})
        assert Delivery.objects.get().round == rounds
    Delivery.objects.update(state=Delivery.State.DELIVERED)
    client.post(f"/accounts/webhooks/deliveries/{delivery.pk}/")
    assert Delivery.objects.get().round == 3
    for act, state in ("pause", "paused"), ("resume", "active"):
        client.post(f"{added.url}{act}/")
        assert Endpoint.objects.get(pk=mine.pk).state == state
    client.post(f"{added.url}rotate/")
    assert Endpoint.objects.get(pk=mine.pk).secret != mine.secret
    assert client.post(f"{added.url}explode/").status_code == 404
    assert client.get(f"{added.url}delete/").status_code == 405
    assert client.post(f"{added.url}delete/").url == "/accounts/webhooks/"
    assert not Endpoint.objects.filter(pk=mine.pk).exists()


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"url": ""}, "required"),
        ({"url": "http://example.com/"}, "begin with https"),
        ({"url": "https://127.0.0.1/"}, "public host"),
        ({"url": "https://example.com/", "events": "order.lost"}, "Select a valid choice"),
        ({"url": "https://example.com/\r\nX: y"}, "Enter a valid URL"),
        ({"url": "javascript:alert(1)"}, "Enter a valid URL"),
    ],
)
def test_a_wrong_field_is_said_beside_it_and_nothing_changes(endpoint, client, form, why):
    for path in ("/accounts/webhooks/", f"/accounts/webhooks/{endpoint.pk}/"):
        answer = client.post(path, form)
        assert answer.status_code == 422
        assert why in answer.content.decode()
    assert Endpoint.objects.get().url == endpoint.url


def test_a_changed_address_does_not_bring_back_an_endpoint_that_was_switched_off_meanwhile(
    endpoint, client, monkeypatch
):
    clean = strangers.check

    def meanwhile(url: str) -> None:
        Endpoint.objects.update(state=Endpoint.State.OFF)
        clean(url)

    monkeypatch.setattr(strangers, "check", meanwhile)
    assert client.post(f"/accounts/webhooks/{endpoint.pk}/", {"url": endpoint.url}).status_code == 302
    assert Endpoint.objects.get().state == Endpoint.State.OFF


def test_an_account_has_so_many_endpoints_and_acts_and_no_more(endpoint, client, settings):
    for _ in range(MOST):
        last = client.post("/accounts/webhooks/", {"url": "https://example.com/"})
    assert last.status_code == 422
    assert Endpoint.objects.count() == MOST
    settings.BACKROOM_LIMITS = dict.fromkeys(LIMITS, (1, 3600))
    acts = [f"/accounts/webhooks/{endpoint.pk}/{act}/" for act in ("test", "test", "resume")]
    assert [client.post(path).status_code for path in acts] == [302, 429, 429]


# What staff see


def test_staff_with_the_permission_see_an_endpoint_and_neither_its_secret_nor_its_path(endpoint, receiver):
    send(announce(endpoint))
    User.objects.create_user("support", is_staff=True).user_permissions.add(
        Permission.objects.get(codename="view_endpoint")
    )
    User.objects.create_user("nothing", is_staff=True)
    pages = "/admin/notifications/endpoint/", f"/admin/notifications/endpoint/{endpoint.pk}/change/"
    for name, status in ("nothing", 403), ("support", 200):
        client = Client()
        client.force_login(User.objects.get(username=name))
        seen = [client.get(page) for page in pages]
        assert [page.status_code for page in seen] == [status] * 2
    both = b"".join(page.content for page in seen)
    shown = endpoint.user.email, urlsplit(endpoint.url).hostname, "1 delivered"
    assert all(words.encode() in both for words in shown)
    assert endpoint.secret.encode() not in both
    assert endpoint.url.encode() not in both
