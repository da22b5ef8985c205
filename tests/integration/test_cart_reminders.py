"""The reminder of a cart that was left: when it comes, what moves and cancels it, and what it costs a request."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from backroom import testing
from backroom.ledger import transitions
from backroom.ledger.models import Job
from catalog.models import Product
from marketing import carts
from marketing.models import Subscription
from marketing.tasks import remind_of_cart
from notifications.models import Bounce
from orders.cart import Cart
from tests.integration.buying import product
from tests.integration.paid_orders import paid_order

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def apples() -> Product:
    return product("apples")


@pytest.fixture
def cart(settings, apples) -> Cart:
    """The cart of a customer who has reminders."""
    settings.BACKROOM_PARTNER_RATES = {}
    user = User.objects.create_user("reader", "reader@example.com")
    Subscription.objects.create(email=user.email, user=user, reminders=True, confirmed_at=Now())
    return Cart.objects.create(user=user)


def hours_pass(cart: Cart, hours: int = 2) -> None:
    """Let time pass, and run what is due then."""
    testing.advance(hours * HOUR)
    Cart.objects.filter(pk=cart.pk).update(changed_at=F("changed_at") - hours * HOUR)
    testing.run_jobs()


def states() -> list[str]:
    return [job.state for job in testing.enqueued(remind_of_cart)]


def test_a_cart_that_was_left_gets_one_mail_with_a_way_out(cart, apples, mailoutbox):
    cart.add(apples, 2)
    hours_pass(cart)
    (mail,) = mailoutbox
    assert mail.to == ["reader@example.com"]
    assert "2 \N{MULTIPLICATION SIGN} Apples" in mail.body
    assert "/cart/" in mail.body
    assert mail.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail.extra_headers["Message-ID"].startswith(f"<cart.{cart.pk}-")
    hours_pass(cart, 48)
    assert len(mailoutbox) == 1


def test_each_change_moves_the_one_job(cart, apples, mailoutbox):
    cart.add(apples, 1)
    hours_pass(cart, 1)
    cart.add(apples, 1)
    hours_pass(cart, 1)
    assert (states(), mailoutbox) == (["waiting"], [])
    hours_pass(cart, 1)
    assert (states(), len(mailoutbox)) == (["succeeded"], 1)


def test_a_change_after_the_mail_begins_another_state(cart, apples, mailoutbox):
    cart.add(apples, 1)
    hours_pass(cart)
    cart.add(apples, 1)
    hours_pass(cart)
    first, second = (mail.extra_headers["Message-ID"] for mail in mailoutbox)
    assert first != second


@pytest.mark.parametrize(
    "empty", [lambda cart, apples: cart.set(apples, 0), lambda cart, apples: cart.take_out([(apples.pk, 2)])],
    ids=["emptied", "bought"],
)  # fmt: skip
def test_emptying_or_buying_the_cart_cancels_the_job(cart, apples, empty):
    cart.add(apples, 2)
    empty(cart, apples)
    assert states() == ["cancelled"]
    cart.add(apples, 1)
    assert states() == ["cancelled", "waiting"]


def test_what_was_added_while_the_rest_was_bought_is_reminded_of(cart, apples, mailoutbox):
    pears = product("pears")
    cart.add(apples, 2)
    cart.add(pears, 1)
    cart.take_out([(apples.pk, 2)])
    hours_pass(cart)
    assert "Pears" in mailoutbox[0].body
    assert "Apples" not in mailoutbox[0].body


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda cart: Subscription.objects.update(reminders=False),
        lambda cart: Bounce.objects.create(address="reader@example.com"),
        lambda cart: Product.objects.update(stock=0),
        lambda cart: paid_order(idempotency_key=cart.key),  # whose request died before it emptied the cart
        lambda cart: Cart.objects.all().delete(),
    ],
    ids=["unsubscribed", "bounced", "sold out", "bought", "gone"],
)
def test_whether_it_is_still_wanted_is_decided_when_it_is_sent(cart, apples, mailoutbox, meanwhile):
    cart.add(apples, 2)
    meanwhile(cart)
    hours_pass(cart)
    assert (states(), mailoutbox) == (["succeeded"], [])


@pytest.mark.parametrize("quantity", [3, 0], ids=["changed", "emptied"])
def test_a_change_while_the_job_runs_is_left_to_the_job_of_the_change(cart, apples, mailoutbox, quantity):
    cart.add(apples, 2)
    testing.advance(2 * HOUR)
    Cart.objects.update(changed_at=F("changed_at") - 2 * HOUR)
    transitions.stage_due(10)
    (job,) = testing.enqueued(remind_of_cart)
    claimed = transitions.claim(str(job.pk), "a worker")
    cart.set(apples, quantity)
    carts.remind(cart.pk)
    transitions.succeed(claimed, None)
    assert mailoutbox == []
    hours_pass(cart)
    assert len(mailoutbox) == (1 if quantity else 0)


@pytest.mark.parametrize(
    "lacking", [{"reminders": False}, {"confirmed_at": None}, {"user": None}], ids=["topic", "confirmation", "account"]
)
def test_a_cart_without_a_subscription_has_no_job(cart, apples, lacking):
    Subscription.objects.update(**lacking)
    cart.add(apples, 1)
    assert not Job.objects.exists()


def statements(change: Callable[[], None]) -> int:
    with CaptureQueriesContext(connection) as queries:
        change()
    return len(queries)


def test_a_change_costs_a_guest_nothing_and_a_reminded_customer_few_statements(cart, apples):
    guest = Cart.objects.create()
    unreminded = Cart.objects.create(user=User.objects.create_user("other"))
    first = [statements(lambda each=each: each.add(apples, 1)) for each in (guest, unreminded, cart)]
    again = [statements(lambda each=each: each.add(apples, 1)) for each in (guest, unreminded, cart)]
    assert [after - first[0] for after in first] == [0, 1, 6]
    assert [after - again[0] for after in again] == [0, 1, 8]
