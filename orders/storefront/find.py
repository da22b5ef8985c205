"""Find my order: its number and mail address, answered with its link, by mail.

The answer never says whether the order exists, and takes the same steps if it does not.
"""

from time import time

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from backroom import enqueue_all
from backroom.inbound import limits
from backroom.inbound.client import client_of
from orders.follow_ups import LINK
from orders.models import Order
from orders.storefront.forms import FindForm

PAUSE = 600  # seconds; an order has one mail in each, however often it is asked for
ANSWER = "If we have an order with this number and email, its link is on the way, or came within the last ten minutes."


@require_http_methods(["GET", "HEAD", "POST"])
def find(request: HttpRequest) -> HttpResponse:
    """The form, and the answer to it."""
    form = FindForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        limits.take(request, links_by_client=client_of(request))
        mail_link(form.cleaned_data["number"], form.cleaned_data["email"])
        messages.success(request, ANSWER)
        return redirect("orders:find")
    return render(request, "orders/find.html", {"form": form}, status=422 if form.is_bound else 200)


def mail_link(number: int, email: str) -> None:
    """Enqueue the mail to the order's own address. The job of a stranger's guess has the number 0, and sends none."""
    known = Order.objects.filter(number=number, email__iexact=email).exists()
    with transaction.atomic():
        enqueue_all(LINK.call(number if known else 0, slot=int(time() // PAUSE)))
