"""The accounting office: it books a batch of documents once for each key, and each document is an effect."""

import json
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from partners.problems import Problem
from partners.store import STORE, Store
from partners.validation import Currency, Reference, Strict, idempotency_key, key, read

MOST = 500  # documents of a batch
KINDS = {"invoices": "booked-invoice", "credit_notes": "booked-credit-note"}
Money = Annotated[str, Field(pattern=r"^[0-9]{1,9}\.[0-9]{2}\Z")]
routes = web.RouteTableDef()


class Tax(Strict):
    """The sums at one VAT rate, in per cent."""

    rate: Annotated[str, Field(pattern=r"^[0-9]{1,2}(\.[0-9]{1,2})?\Z")]
    net: Money
    vat: Money


class Document(Strict):
    """An invoice, or a credit note with the sums that it takes back."""

    number: Reference
    order: Reference
    date: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
    currency: Currency
    gross: Money
    taxes: Annotated[list[Tax], Field(min_length=1, max_length=20)]


class Batch(Strict):
    """Documents of one series."""

    series: Literal["invoices", "credit_notes"]
    documents: Annotated[list[Document], Field(min_length=1, max_length=MOST)]


@routes.post("/accounting/batches")
async def book(request: web.Request) -> web.Response:
    """Book a batch. Raises Problem 422 for a known key with another body."""
    name, batch, store = idempotency_key(request), await read(request, Batch), request.app[STORE]
    answer = {"series": batch.series, "documents": len(batch.documents)}
    return web.json_response(store.once("accounting", name, batch, answer, lambda: record(store, batch)), status=201)


def record(store: Store, batch: Batch) -> None:
    """An effect for each document, in the caller's transaction."""
    kind = KINDS[batch.series]
    for document in batch.documents:
        store.record_effect("accounting", kind, f"{kind}:{document.order}", document.order)


@routes.get("/accounting/batches/{key}")
async def show(request: web.Request) -> web.Response:
    """The answer that a batch got. Raises Problem 404."""
    name, store = key(request.match_info["key"]), request.app[STORE]
    row = store.execute("SELECT answer FROM answers WHERE partner = 'accounting' AND key = ?", (name,)).fetchone()
    if row is None:
        raise Problem(404, f"There is no batch with the key {name}.")
    return web.json_response(json.loads(row["answer"]))
