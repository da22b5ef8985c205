"""The API: list products, place an order, read an order.

There are no CSRF tokens, as no operation reads cookies. An order's token gives access to the order; nothing else here
is secret.

Malformed JSON is 400; well-formed JSON with invalid values is 422.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from ninja import Header, Query, Status

from catalog.models import Product
from orders.models import Order
from orders.models import Status as OrderStatus
from orders.ordering import checkout
from orders.storefront import limited, problems, timeline
from orders.storefront.api_schema import OrderIn, OrderOut, Placed, Problem, Products

ALL_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
UNPAID: dict[str, str] = {
    OrderStatus.DECLINED: "The card was declined. Nothing was charged.",
    OrderStatus.CANCELLED: "The payment could not be confirmed. The order was cancelled and nothing is charged.",
}

After = Annotated[str, Query(pattern=r"^[-a-zA-Z0-9_]{0,50}$", description="the last slug of the previous page")]
SAME_KEY = (
    "for a day, a repeated request with the same key returns the same order; it never charges twice. Make it random, "
    "such as a UUID: another request with a used key is refused"
)
Key = Annotated[str | None, Header(alias="Idempotency-Key", pattern=r"^[\x21-\x7e]{1,100}$", description=SAME_KEY)]

about = "A greengrocer's shop. " + __doc__
api = problems.ProblemAPI(title="Backroom", version="1", urls_namespace="api", description=about)


@api.get("/products", response={200: Products, 422: Problem}, summary="List products, by slug")
def products(request: HttpRequest, after: After = "", limit: Annotated[int, Query(ge=1, le=100)] = 50):
    found = list(Product.objects.filter(active=True, slug__gt=after).order_by("slug")[: limit + 1])
    page = found[:limit]
    more = {"after": page[-1].slug, "limit": limit} if len(found) > limit else None
    currency = {"currency": settings.STORE_CURRENCY}
    items = [{f: getattr(p, f) for f in ("slug", "name", "price", "stock")} | currency for p in page]
    return {"items": items, "next": more and f"{request.path}?{urlencode(more)}"}


@api.post(
    "/orders",
    response={201: Placed, 202: Placed, (400, 402, 409, 413, 415, 422, 429, 503): Problem},
    summary="Place an order and pay for it",
)
def place_order(request: HttpRequest, order: OrderIn, idempotency_key: Key = None):
    """201: paid. 202: the payment is being confirmed; read the order later, the customer also gets an email with the
    result. 402: nothing is charged, because the card was declined or payments are unavailable (then try again, with
    another key). 429: too many orders from this client or for this email. 503: the database is unavailable. After
    both, send the request again after Retry-After seconds.

    With an Idempotency-Key, a request whose response was lost can be sent again: it is one order and one charge.
    Without one, each request is a new order.
    """
    customer = checkout.Customer(**order.dict(exclude={"card", "lines"}))
    wanted = [
        checkout.Wanted(line.product, line.quantity, None if line.price is None else Decimal(line.price))
        for line in order.lines
    ]
    return _answer(limited.place(request, customer, wanted, order.card, idempotency_key))


def _answer(order: Order) -> Status | HttpResponse:
    placed = _placed(order)
    if order.status in UNPAID and order.paid_at is None:
        return problems.problem(
            402, "unpaid", "Payment Required", UNPAID[order.status], number=order.number, order=order.status
        )
    return Status(202 if order.status == OrderStatus.PLACED else 201, placed)


def _placed(order: Order) -> dict:
    fields = ("number", "status", "total", "currency", "token")
    return {field: getattr(order, field) for field in fields} | {"url": settings.SITE_URL + order.get_absolute_url()}


@api.get("/orders/{int:number}", response={200: OrderOut, 404: Problem}, summary="Read an order and its jobs")
def show_order(request: HttpRequest, number: int, token: str = ""):
    """404 for a wrong or ended token, as for an unknown order."""
    order = Order.objects.filter(number=number).first()
    if order is None or not order.admits(token):
        raise Http404
    lines = [
        {"product": line.product.slug} | {f: getattr(line, f) for f in ("name", "unit", "unit_price", "quantity")}
        for line in order.lines.select_related("product")
    ]
    jobs = [
        {"id": str(job.id), "wait_ms": timeline.wait_ms(job), "run_ms": timeline.run_ms(job)}
        | {field: getattr(job, field) for field in ("task", "key", "state", "attempts")}
        for job in timeline.jobs_of(number)
    ]
    return _placed(order) | {"delivery": order.delivery, "lines": lines, "jobs": jobs}


# Other methods of these addresses, and unknown addresses. They come last: the first match counts.


def _other_methods(path: str, *methods: str) -> None:
    def refuse(request: HttpRequest):
        return problems.not_allowed(*methods)

    def refuse_number(request: HttpRequest, number: int):
        return problems.not_allowed(*methods)

    others = sorted(ALL_METHODS - set(methods))
    api.api_operation(others, path, include_in_schema=False)(refuse_number if "number" in path else refuse)


def _head_too(path: str, get: Callable[..., Any]) -> None:
    """RFC 9110, 9.3.2: HEAD wherever GET is. The server sends no body."""
    api.api_operation(["HEAD"], path, include_in_schema=False)(get)


_head_too("/products", products)
_head_too("/orders/{int:number}", show_order)
_other_methods("/products", "GET", "HEAD")
_other_methods("/orders", "POST")
_other_methods("/orders/{int:number}", "GET", "HEAD")


@api.api_operation(sorted(ALL_METHODS), "/{path:anything}", include_in_schema=False)
def unknown_address(request: HttpRequest, anything: str):
    raise Http404
