"""The follow-ups of an order, as tasks: where and how often each may run. The work is in the modules they
call.

Names are given, not taken from the module: jobs in the ledger outlive a renamed file.
"""

from datetime import UTC, date, datetime, timedelta

from backroom import Retry, task
from orders.fulfilment import analytics, capture, emails, fraud, invoices, loyalty, recommendations, warehouse

PATIENT = Retry(attempts=16, first=2, cap=1800)  # about three hours: longer than most outages of a partner
# Four days of trying: money is the one thing that nobody may forget.
MONEY = Retry(attempts=200, first=2, cap=1800)


@task(name="orders.make_invoice", queue="critical", key="invoice:{number}", atomic=True)
def make_invoice(number: int) -> None:
    """The invoice of a paid order, as PDF."""
    invoices.make_invoice(number)


@task(name="orders.mail_receipt", queue="critical", key="receipt:{number}", retry=PATIENT)
def mail_receipt(number: int) -> None:
    """The receipt, with the invoice attached."""
    emails.send_receipt(number)


@task(name="orders.review_fraud", key="fraud:{number}", retry=PATIENT)
def review_fraud(number: int) -> None:
    """A look at the order by the fraud partner, which may put it on hold."""
    fraud.review(number)


@task(name="orders.capture_payment", key="capture:{number}", retry=MONEY)
def capture_payment(number: int) -> None:
    """The money that was reserved for the order is taken."""
    capture.take(number)


@task(name="orders.refund_payment", key="refund:{number}", retry=MONEY)
def refund_payment(number: int) -> str:
    """The money of a cancelled order is given back, whether it was taken or only reserved."""
    return capture.give_back(number)


@task(name="orders.mail_cancellation", queue="critical", key="cancellation:{number}", retry=PATIENT)
def mail_cancellation(number: int) -> None:
    """The customer learns that the order was cancelled."""
    emails.send_cancellation(number)


@task(name="orders.mail_unpaid", queue="critical", key="unpaid:{number}", retry=PATIENT)
def mail_unpaid(number: int) -> None:
    """The customer who was told that we go on asking the bank learns that nothing came of it."""
    emails.send_unpaid(number)


@task(name="orders.request_shipment", key="shipment:{number}", retry=PATIENT)
def request_shipment(number: int) -> None:
    """The warehouse is asked to send the order."""
    warehouse.request_shipment(number)


@task(name="orders.send_analytics", queue="bulk", key="analytics:{number}", retry=PATIENT)
def send_analytics(number: int) -> None:
    """The analytics partner learns of the sale."""
    analytics.send_order_paid(number)


@task(name="orders.add_loyalty_points", key="loyalty:{number}", atomic=True)
def add_loyalty_points(number: int) -> None:
    """The customer's points."""
    loyalty.add_points(number)


@task(name="orders.update_recommendations", queue="bulk", key="recommendations:{number}", atomic=True)
def update_recommendations(number: int) -> None:
    """What was bought together."""
    recommendations.learn_from(number)


@task(name="orders.mail_sales_report", queue="bulk", retry=PATIENT)
def mail_sales_report(day: str | None = None) -> None:
    """What was sold on a day (YYYY-MM-DD), mailed to staff; by default the one before today, in UTC."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    emails.send_sales_report(date.fromisoformat(day) if day else yesterday)


@task(name="orders.mail_repairs", queue="bulk", key="repairs:{mail_id}", retry=PATIENT)
def mail_repairs(mail_id: int) -> None:
    """What the reconciler did and found, mailed to staff."""
    emails.send_repairs(mail_id)
