"""What the shop exchanges with partners in bulk, and the payment gateway's reports, interrupted."""

import json
import time
from signal import SIGKILL

import urllib3
from django.db.models import F

from backroom.ledger.models import Job
from catalog.models import Product
from catalog.tasks import sync_supplier
from orders.models import AccountingBatch, Invoice, Order, PaymentEvent, Status
from orders.tasks import plan_accounting
from tests.chaos.context import TIMEOUT, Context
from tests.chaos.faults import Fault, strike
from tests.waiting import until

MORE = 7  # pieces of each product


def of_a_page(boundary: str) -> Fault:
    """SIGKILL to the worker while it takes over a page of the supplier. Orders go on."""

    def fault(context: Context) -> None:
        context.tasks.append(sync_supplier.name)
        first = int(time.time())  # the partner and the ledger remember earlier rows
        supply(context, first)
        synced()
        before = pieces()
        supply(context, first + MORE)
        armed = context.arm(boundary, "worker-bulk")
        id = sync_supplier.enqueue()
        strike(context, armed.wait(TIMEOUT), SIGKILL, "all")
        synced(id)
        assert pieces() == {slug: count + MORE for slug, count in before.items()}, "pieces were lost, or came twice"

    return fault


def supply(context: Context, delivered: int) -> None:
    items = [{"sku": slug, "delivered": delivered, "price": "9.99"} for slug in pieces()]
    answer = urllib3.request("PUT", f"{context.cluster.partners}/supplies", body=json.dumps({"items": items}))
    assert answer.status == 200, answer.data


def synced(id: str = "") -> None:
    id = id or sync_supplier.enqueue()
    until(lambda: Job.objects.filter(id=id, state="succeeded").exists(), TIMEOUT, "the supplier's changes")


def pieces() -> dict[str, int]:
    """Of each product those in stock and in orders, which no order changes."""
    return dict(Product.objects.values_list("slug", F("stock") + F("taken")))


def of_a_batch_of_documents(boundary: str) -> Fault:
    """SIGKILL to the worker that has a batch for the accounting partner. The audit counts each booking."""

    def fault(context: Context) -> None:
        context.tasks += [plan_accounting.name, "orders.send_accounting_batch"]
        last = AccountingBatch.objects.filter(series="invoices").order_by("-last").values_list("last", flat=True)
        unsent = Invoice.objects.filter(number__gt=last.first() or 0)
        until(unsent.exists, TIMEOUT, "an invoice")
        in_flight = boundary == "in the effect"
        armed = context.arm("after claim" if in_flight else boundary, "worker-bulk", "key='accounting:")
        plan_accounting.enqueue()
        hit = armed.wait(TIMEOUT)
        if in_flight:
            context.cluster.fault("accounting", latency_ms=1500)
            hit.release()
            time.sleep(0.7)
        strike(context, hit, SIGKILL, "all")
        batches = AccountingBatch.objects.filter(sent_at=None)
        until(lambda: not batches.exists(), TIMEOUT, "all documents are sent")

    return fault


def of_a_payments_report(boundary: str) -> Fault:
    """SIGKILL to all of the web while it takes a report of the payment gateway, which sends it again."""

    def fault(context: Context) -> None:
        number = until(
            lambda: Order.objects.filter(status=Status.PAID).values_list("number", flat=True).first(), TIMEOUT
        )
        known = PaymentEvent.objects.filter(order=number).count()
        armed = context.arm(boundary, "web")
        url = f"{context.cluster.partners}/payments/authorizations/payment:{number}/events"
        answer = urllib3.request("POST", url, json={"type": "payment.authorized"}, timeout=10)
        assert answer.status == 202, answer.data
        strike(context, armed.wait(TIMEOUT), SIGKILL, "all")
        until(lambda: PaymentEvent.objects.filter(order=number).count() > known, TIMEOUT, "the report")
        pending = f"{context.cluster.partners}/webhooks"
        until(lambda: not urllib3.request("GET", pending).json()["webhooks"], TIMEOUT, "an accepted report")
        assert PaymentEvent.objects.filter(order=number).count() == known + 1, "a report was stored twice"

    return fault
