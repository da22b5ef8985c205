"""An order's pages and documents. Its token opens it, and so does its account; for others it is 404."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from orders.models import CreditNote, Invoice, Label, Order, Status
from orders.ordering import cancellation, owners
from orders.storefront import timeline

WHOLE = "&whole=1"  # in an address: shows the jobs that are not the customer's own, too


def opened(request: HttpRequest, number: int) -> Order:
    """The order of this number, by its token or its account. Raises Http404, also for a number that exists."""
    order = Order.objects.filter(number=number).first()
    if order is None or not (order.admits(request.GET.get("token", "")) or _owned(request, order)):
        raise Http404("No order has this number and token.")
    return order


def _owned(request: HttpRequest, order: Order) -> bool:
    return order.user_id is not None and order.user_id == request.user.pk


def _order_context(request: HttpRequest, number: int) -> dict:
    order, whole = opened(request, number), "whole" in request.GET
    rows = timeline.rows_of(order, whole)
    return {
        "order": order,
        "rows": rows,
        "whole": whole,
        "keep": WHOLE if whole else "",
        "switch": "" if whole else WHOLE,
        "live": any(row.live for row in rows),
        "poll_every": timeline.poll_every(order, rows),
        "invoice": Invoice.objects.filter(order=order).exists(),
        "credit_note": order.credited and CreditNote.objects.filter(order=order).exists(),
    }


@require_safe
def order(request: HttpRequest, number: int) -> HttpResponse:
    """The confirmation and the timeline."""
    context = _order_context(request, number)
    opened = context["order"]
    context |= {"lines": opened.lines.all(), "owned": _owned(request, opened)}
    context["claimable"] = owners.claimable(opened, request.user.pk)
    return render(request, "orders/order.html", context)


@require_safe
def order_timeline(request: HttpRequest, number: int) -> HttpResponse:
    """The part of the order's page that updates itself."""
    return render(request, "orders/_timeline.html", _order_context(request, number))


@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, number: int) -> HttpResponse:
    """The question whether to cancel the order, and its cancellation."""
    order = opened(request, number)
    if request.method != "POST" and order.cancellable:
        return render(request, "orders/cancel.html", {"order": order})
    if request.method == "POST" and not cancellation.cancel_unsent(number):
        order.refresh_from_db()
    if order.sent_at and order.status != Status.CANCELLED:
        messages.error(request, f"The warehouse has been asked to ship order {number}. It can no longer be cancelled.")
    return redirect(order)


@require_safe
def invoice(request: HttpRequest, number: int) -> HttpResponse:
    """The invoice's PDF; 404 until it exists."""
    return pdf(get_object_or_404(Invoice, order=opened(request, number)), f"invoice-{number}")


@require_safe
def credit_note(request: HttpRequest, number: int) -> HttpResponse:
    """The credit note's PDF; 404 until it exists."""
    return pdf(get_object_or_404(CreditNote, order=opened(request, number)), f"credit-note-{number}")


def pdf(document: Invoice | CreditNote | Label, name: str) -> HttpResponse:
    return HttpResponse(
        bytes(document.pdf),
        content_type="application/pdf",
        headers={
            "Content-Disposition": f'attachment; filename="{name}.pdf"',
            "X-Content-Type-Options": "nosniff",
        },
    )
