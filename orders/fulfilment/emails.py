"""The mails of this room: what they say and to whom they go. How a mail is sent stands in
notifications/mail.py."""

from datetime import date

from django.conf import settings
from django.urls import reverse

from notifications import mail
from orders.fulfilment.sales_report import sales_of
from orders.fulfilment.vat import breakdown
from orders.models import Order, Repair, Status

LONGEST = 100  # lines of a list; all of it is in the admin


def send_receipt(number: int) -> None:
    """Mail the customer what was bought, with the invoice attached and the way to the order's page.

    Raises Invoice.DoesNotExist while there is no invoice, and what notifications.mail.send does.
    """
    order = Order.objects.select_related("invoice").get(number=number)
    lines = list(order.lines.all())
    mail.send(
        key=f"receipt:{number}",
        to=order.email,
        subject=f"Your order {number}",
        template="orders/mail/receipt",
        context={
            "order": order,
            "lines": lines,
            "taxes": breakdown((line.vat_rate, line.total) for line in lines),
            "url": settings.SITE_URL + order.get_absolute_url(),
        },
        attachments=[(f"invoice-{number}.pdf", bytes(order.invoice.pdf), "application/pdf")],
        patience=mail.URGENT,
    )


def send_cancellation(number: int) -> None:
    """Mail the customer that the order was cancelled. Raises what notifications.mail.send does."""
    order = Order.objects.get(number=number)
    mail.send(
        key=f"cancellation:{number}",
        to=order.email,
        subject=f"Your order {number} was cancelled",
        template="orders/mail/cancellation",
        context={"order": order, "url": settings.SITE_URL + order.get_absolute_url()},
        patience=mail.URGENT,
    )


def send_unpaid(number: int) -> None:
    """Mail the customer that the order ended unpaid, and nothing was charged. Raises what notifications.mail.send
    does."""
    order = Order.objects.get(number=number)
    declined = order.status == Status.DECLINED
    mail.send(
        key=f"unpaid:{number}",
        to=order.email,
        subject=f"Your card was declined for order {number}" if declined else f"Your order {number} was cancelled",
        template="orders/mail/unpaid",
        context={"order": order, "declined": declined, "url": settings.SITE_URL + order.get_absolute_url()},
        patience=mail.URGENT,
    )


def send_sales_report(day: date) -> None:
    """Mail staff what was sold on a day (UTC). Raises what notifications.mail.send does."""
    mail.send(
        key=f"sales-report:{day:%Y-%m-%d}",
        to=settings.STAFF_EMAIL,
        subject=f"Sales of {day:%-d %B %Y}",
        template="orders/mail/sales_report",
        context={
            "report": sales_of(day),
            "currency": settings.STORE_CURRENCY,
            "jobs_url": f"{settings.SITE_URL}{reverse('admin:backroom_job_changelist')}?state__exact=dead",
        },
    )


def send_repairs(mail_id: int) -> None:
    """Mail staff what the reconciler did and found since its last mail. Raises what notifications.mail.send does."""
    repairs = Repair.objects.filter(mail=mail_id).order_by("id")
    reports = repairs.filter(act=Repair.Act.REPORTED)
    mail.send(
        key=f"repairs:{mail_id}",
        to=settings.STAFF_EMAIL,
        subject=f"{reports.count()} findings for a person, {repairs.count() - reports.count()} repairs",
        template="orders/mail/repairs",
        context={
            "repairs": repairs.exclude(act=Repair.Act.REPORTED)[:LONGEST],
            "reports": reports[:LONGEST],
            "longest": LONGEST,
            "url": f"{settings.SITE_URL}{reverse('admin:orders_repair_changelist')}",
        },
    )
