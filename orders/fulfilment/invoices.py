"""Invoices and credit notes as PDF: the data of one order, laid out by typst/invoice.typ."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from operator import add
from typing import Any

from backroom import Permanent
from catalog.templatetags.money import money
from orders.documents import CreditNote, Invoice
from orders.fulfilment.pdf import SELLER, render
from orders.fulfilment.vat import VatLine, breakdown, per_cent
from orders.models import Order, OrderLine, Status


def make_invoice(number: int) -> None:
    """Create and store the invoice of a paid order. A second call does nothing, nor one for a cancelled order. Call it
    in the job's transaction. Raises Permanent for an order that was never paid.

    The lock makes a cancellation wait, which then sees the invoice.
    """
    order = Order.objects.select_for_update(no_key=True).get(number=number)
    if order.status != Status.CANCELLED and not Invoice.objects.filter(order=order).exists():
        _make(Invoice(order=order), invoice)


def make_credit_note(number: int) -> None:
    """Create and store the credit note that cancels an order's invoice; a second call does nothing. Raises
    Invoice.DoesNotExist without an invoice."""
    order = Order.objects.select_related("invoice").get(number=number)
    if not CreditNote.objects.filter(order=order).exists():
        _make(CreditNote(order=order), credit_note)


def _make(document: Invoice | CreditNote, text: Callable[..., dict[str, Any]]) -> None:
    """The date is read once the number is taken, so the dates of a series ascend with its numbers."""
    document.number, document.created_at = document.take_number(), datetime.now(UTC)
    document.pdf = render("invoice.typ", text(document, document.created_at))
    document.save(force_insert=True)


def invoice(document: Invoice, at: datetime) -> dict[str, Any]:
    """An invoice's text as the template takes it: strings, ready to print; and `made_at` (Unix time). Raises Permanent
    for an order that was never paid. It never changes, so it says when the card is charged, not whether it was."""
    if document.order.paid_at is None:
        raise Permanent(f"order {document.order_id} is not paid: it gets no invoice")
    payment = ["PAYMENT", "by card, charged before shipping"]
    return _text(document, "Invoice", at, payment, "Thank you for your order!")


def credit_note(document: CreditNote, at: datetime) -> dict[str, Any]:
    """The same of a credit note."""
    cancelled = f"invoice {document.order.invoice.label}"
    return _text(document, "Credit note", at, ["CANCELS", cancelled], f"This credit note cancels {cancelled} in full.")


def _text(document: Invoice | CreditNote, title: str, at: datetime, fact: list[str], closing: str) -> dict[str, Any]:
    order = document.order
    return {
        "seller": SELLER,
        "made_at": int(at.timestamp()),
        "title": title,
        "number": document.label,
        "date": f"{at:%-d %B %Y}",
        "issued": {"year": at.year, "month": at.month, "day": at.day},
        "facts": [["ORDER", str(order.number)], fact],
        "closing": closing,
        "bill_to": [order.name, order.address, f"{order.postcode} {order.city}", order.country_name],
        "lines": [_line(line) for line in order.lines.all()] + [_delivery(order)] * bool(order.delivery),
        **_sums(breakdown(order.amounts()), order.currency),
    }


def _sums(taxes: list[VatLine], currency: str) -> dict[str, Any]:
    def written(tax: VatLine) -> dict[str, str]:
        return {name: money(getattr(tax, name), currency) for name in ("net", "vat", "gross")}

    total = written(reduce(add, taxes))
    return {
        "vat": [{"rate": tax.per_cent, **written(tax)} for tax in taxes],
        "net": total["net"],
        "vat_total": total["vat"],
        "total": total["gross"],
    }


def _line(line: OrderLine) -> dict[str, str]:
    return {
        "name": line.name,
        "unit": line.unit,
        "unit_price": money(line.unit_price, line.order.currency),
        "quantity": str(line.quantity),
        "vat_rate": per_cent(line.vat_rate),
        "amount": money(line.total, line.order.currency),
    }


def _delivery(order: Order) -> dict[str, str]:
    cost = money(order.delivery, order.currency)
    rate = per_cent(order.delivery_vat_rate)
    return {"name": "Delivery", "unit": "order", "unit_price": cost, "quantity": "1", "vat_rate": rate, "amount": cost}
