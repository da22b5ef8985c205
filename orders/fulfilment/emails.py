"""The emails about orders: their text and recipients. notifications/mail.py sends them, and its errors pass through."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.conf import settings
from django.urls import reverse

from notifications import mail
from orders.follow_ups import LINK
from orders.fulfilment.sales_report import sales_of
from orders.fulfilment.vat import breakdown
from orders.models import CreditNote, LoyaltyAccount, Order, Repair, Status

LIST_LIMIT = 100  # lines; the admin lists all


def send_receipt(number: int) -> None:
    """Raises Invoice.DoesNotExist while there is no invoice to attach."""
    order = Order.objects.select_related("invoice").get(number=number)
    context = {"lines": order.lines.all(), "taxes": breakdown(order.amounts())}
    invoice = (f"invoice-{number}.pdf", bytes(order.invoice.pdf), "application/pdf")
    _to_customer(order, "receipt", f"Your order {number}", context, [invoice])


def send_cancellation(number: int) -> None:
    """After a cancellation once paid: what happens to the money, with the credit note if there is one."""
    order = Order.objects.get(number=number)
    notes = CreditNote.objects.filter(order=order)
    files = [(f"credit-note-{number}.pdf", bytes(note.pdf), "application/pdf") for note in notes]
    _to_customer(order, "cancellation", f"Your order {number} was cancelled", {"credited": bool(files)}, files)


def send_unpaid(number: int) -> None:
    """The end of an order that was never paid: nothing is charged."""
    order = Order.objects.get(number=number)
    declined = order.status == Status.DECLINED
    subject = f"Your card was declined for order {number}" if declined else f"Your order {number} was cancelled"
    _to_customer(order, "unpaid", subject, {"declined": declined})


def send_link(number: int, slot: int) -> None:
    """The link that the customer asked for, and the points of the address. Does nothing without such an order, or for
    an erased one."""
    order = Order.objects.filter(number=number, erased_at=None).first()
    if order:
        accounts = LoyaltyAccount.objects.filter(email=order.email.lower())
        context = {"points": accounts.values_list("points", flat=True).first()}
        _to_customer(order, "link", f"The link to your order {number}", context, key=LINK.key(number, slot=slot))


def _to_customer(
    order: Order,
    kind: str,
    subject: str,
    context: dict[str, Any] | None = None,
    attachments: Sequence[tuple[str, bytes, str]] = (),
    key: str = "",
) -> None:
    order.renew_link()
    mail.send(
        key=key or f"{kind}:{order.number}",
        to=order.email,
        subject=subject,
        template=f"orders/mail/{kind}",
        context={"order": order, "url": settings.SITE_URL + order.get_absolute_url(), **(context or {})},
        attachments=attachments,
        patience=mail.URGENT,
        headers={"X-Order": str(order.number)},  # by it the mail server forgets: privacy.py
    )


def send_sales_report(day: date) -> None:
    """To staff: the sales of a day in UTC."""
    mail.send(
        key=f"sales-report:{day:%Y-%m-%d}",
        to=settings.STAFF_EMAIL,
        subject=f"Sales of {day:%-d %B %Y}",
        template="orders/mail/sales_report",
        context={
            "report": sales_of(day),
            "jobs_url": f"{settings.SITE_URL}{reverse('ops:jobs')}?state=dead",
        },
    )


def send_repairs(mail_id: int) -> None:
    """To staff: the repairs and findings of the reconciler since its last mail."""
    repairs = Repair.objects.filter(mail=mail_id).order_by("id")
    reports = repairs.filter(act=Repair.Act.REPORTED)
    mail.send(
        key=f"repairs:{mail_id}",
        to=settings.STAFF_EMAIL,
        subject=f"Reconciler: {reports.count()} findings to review, {repairs.count() - reports.count()} repairs",
        template="orders/mail/repairs",
        context={
            "repairs": repairs.exclude(act=Repair.Act.REPORTED)[:LIST_LIMIT],
            "reports": reports[:LIST_LIMIT],
            "limit": LIST_LIMIT,
            "url": f"{settings.SITE_URL}{reverse('admin:orders_repair_changelist')}",
        },
    )
