"""A new follow-up is one entry in the registry and one verb: then every reader of the registry has it."""

import pytest
from celery import current_app
from django.db.models.functions import Now

from backroom.ledger.models import Job, State
from notifications import mail
from orders import follow_ups, tasks
from orders.follow_ups import FOLLOW_UPS, FollowUp
from orders.models import Order, Repair
from orders.ordering import cancellation
from orders.reconciliation import audit, reconcile
from orders.storefront import timeline
from tests.integration.buying import attempt, buy, effects, product

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("partners", "thanks")]

KINDS = ["invoice", "receipt", "fraud", "capture", "shipment", "label", "analytics", "loyalty", "recommendations"]


def thank(number: int) -> None:
    """The verb."""
    order = Order.objects.get(number=number)
    context = {"order": order, "url": order.get_absolute_url()}
    mail.send(f"thanks:{number}", order.email, "Thank you", "orders/mail/cancellation", context)


ENTRY = FollowUp(
    "thanks",
    "orders.thank",
    f"{__name__}.thank",
    "Thanks by email",
    "The thanks could not be sent.",
    effect=("mail", "thanks"),
    after="shipment",
    on_hold="Thanks follow after the review.",
    stops=True,
)


@pytest.fixture
def thanks(monkeypatch):
    monkeypatch.setattr(follow_ups, "FOLLOW_UPS", (*FOLLOW_UPS, ENTRY))
    tasks.declare(ENTRY)
    yield
    current_app.tasks.pop(ENTRY.task)


def test_it_is_in_the_timeline_the_audit_and_the_reconciler_and_a_cancellation_stops_it():
    product(stock=9)
    done, lost, cancelled = buy(), buy(), buy()
    assert [row.label for row in timeline.rows_of(done)].count("Thanks by email") == 1
    cancellation.cancel(cancelled.number)
    assert Job.objects.get(key=f"thanks:{cancelled.number}").state == State.CANCELLED

    for kind in KINDS:
        for order in (done, lost):
            attempt(f"{kind}:{order.number}")
    assert audit.run().unfinished == 3  # the thanks of two orders, and the refund
    Job.objects.get(key=f"thanks:{lost.number}").delete()
    assert [row["key"] for row in audit.run().lost] == [f"thanks:{lost.number}"]

    assert attempt(f"thanks:{done.number}").state == State.SUCCEEDED
    assert effects(partner="mail", key=f"thanks:{done.number}") == {f"mail/thanks thanks:{done.number}": 1}
    for kind in ("analytics", "loyalty", "recommendations", "refund", "cancellation"):
        attempt(f"{kind}:{cancelled.number}")
    Order.objects.update(created_at=Now() - audit.SKEW, paid_at=Now() - audit.SKEW)
    (repair,) = reconcile.run().repairs
    assert (repair.act, repair.key) == (Repair.Act.ENQUEUED, f"thanks:{lost.number}")
    assert attempt(repair.key).state == State.SUCCEEDED
    report = audit.run()
    assert (report.clean, report.unfinished, report.effects_expected) == (True, 0, 9 + 9 + 3), report


def test_it_waits_while_the_order_is_on_hold():
    product("saffron", price="400.00")
    order = buy("saffron")
    for kind in ("invoice", "receipt", "fraud", "analytics", "loyalty", "recommendations"):
        attempt(f"{kind}:{order.number}")
    order.refresh_from_db()
    (row,) = [row for row in timeline.rows_of(order) if row.kind == "thanks"]
    assert (row.state, row.why) == ("waiting", "Thanks follow after the review.")
    report = audit.run()
    assert (report.clean, report.unfinished, audit.still_busy()) == (True, 0, 0)
