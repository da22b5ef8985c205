"""Stock and prices by the supplier's feed of changes, every ten minutes.

A run reads page after page. One transaction writes a page's products and the cursor of the next page, so a run that was
cut off goes on there, and a long one in further turns of its job. The watermark moves at the run's end, to the value
that the supplier gave at its beginning: a product that changed behind the cursor meanwhile comes in the next run.

**The conflict rule.** Staff, orders and the supplier change the same product:

- Stock changes by the difference of the supplier's counter `delivered`, and is never set. So the orders and the counts
  of staff in between stay. A repeated or an older report makes no difference.
- A price that equals the supplier's last one follows it. Any other is the staff's and stays, until they set it to the
  supplier's again. An offer stays below the price before it.
- The first report of a product changes nothing: the count begins there.

Limits: nothing is kept of a product that the shop does not have. One that staff add later begins with the supplier's
next report of it. A counter that goes back is logged; only what it counts above its old height is new.
"""

import logging
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlencode

from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, When
from django.db.models.functions import Now
from pydantic import BaseModel, Field, ValidationError

from backroom import resumable
from backroom.outbound.errors import PartnerUnavailable
from backroom.outbound.http import NotFound, Partner
from catalog.models import Product, SupplierItem, SyncState
from catalog.search.tasks import warm_home_soon
from catalog.signals import restocked

log = logging.getLogger(__name__)

NAME = "supplier"  # of its SyncState
PAGE = 200  # items; those that changed are locked together, for some milliseconds
COLUMNS = ["delivered", "price", "version", "changed_at"]
partner = Partner("supplier", timeout=(1, 10), patience=1.0)


class Item(BaseModel):
    """A product as the supplier reports it."""

    sku: Annotated[str, Field(pattern="^[!-~]{1,50}$")]
    delivered: Annotated[int, Field(ge=0, lt=2**62, strict=True)]
    price: Annotated[Decimal, Field(gt=0, max_digits=8, decimal_places=2)]
    version: Annotated[int, Field(ge=0, lt=2**62, strict=True)]


class Page(BaseModel):
    """`next` is the cursor of the page behind this one, "" for the last; `watermark` the cursor of the next run."""

    items: Annotated[list[Item], Field(max_length=PAGE)]
    next: Annotated[str, Field(pattern="^[!-~]{0,200}$")]
    watermark: Annotated[str, Field(pattern="^[!-~]{1,100}$")]


def sync() -> int:
    """Finish the run that was cut off, or make one; returns the number of items of this turn. Raises what
    Partner.get_changed does, and PartnerUnavailable for a page that is not as documented: nothing of it is written."""
    return sum(resumable(_steps, cursor=int))


def _steps(_: int | None) -> Iterator[int]:
    """The items of each page. SyncState has the cursor, which the job's would only repeat."""
    more = True
    while more:
        items, more = step()
        yield items


def step() -> tuple[int, bool]:
    """Read and write one page; returns its number of items, and whether another one follows."""
    state, _ = SyncState.objects.get_or_create(name=NAME)
    try:
        page, etag = _read(state)
    except NotFound:
        if not _where(state):
            raise
        log.warning("the supplier no longer has the cursor: a run begins anew")
        return 0, _begin_anew(state)
    with transaction.atomic():
        if not _advance(state, page, etag):
            return 0, False
        _write(page.items)
    return len(page.items), bool(page.next)


def _where(state: SyncState) -> str:
    return state.cursor or state.watermark


def _same(state: SyncState) -> QuerySet[SyncState]:
    """Race: a worker that froze reads the same page as the next one. It finds the row changed, and writes nothing."""
    return SyncState.objects.filter(pk=state.pk, watermark=state.watermark, cursor=state.cursor)


@transaction.atomic
def _begin_anew(state: SyncState) -> bool:
    """Read from the beginning. False if another worker has moved the cursor. A new feed numbers its changes from 1, so
    the old numbers don't count: products would be skipped until it passes them."""
    if not _same(state).update(watermark="", cursor="", etag=""):
        return False
    SupplierItem.objects.update(version=0)
    return True


def _read(state: SyncState) -> tuple[Page, str]:
    """The next page and its ETag. A 304 is an empty last page."""
    address = "/supplier/changes?" + urlencode({"cursor": _where(state), "limit": PAGE})
    found = partner.get_changed(address, state.etag)
    if found is None:
        return Page(items=[], next="", watermark=state.watermark), state.etag
    try:
        page = Page.model_validate(found[0])
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        raise PartnerUnavailable(f"the supplier's page is wrong at {wrong['loc']}: {wrong['msg']}") from None
    if page.next and page.next == state.cursor:
        raise PartnerUnavailable("the supplier's next page is the same one again")
    return page, found[1]


def _advance(state: SyncState, page: Page, etag: str) -> bool:
    """Move the cursor, at the end of a run the watermark. False if another worker has. Locks the row, so that only one
    run writes."""
    if page.next:
        return bool(_same(state).update(cursor=page.next, etag=""))
    same_address = _where(state) == page.watermark  # then the next run's first request is this one
    known = etag if same_address and len(etag) <= 100 else ""
    return bool(_same(state).update(cursor="", watermark=page.watermark, etag=known, synced_at=Now()))


def _write(items: Sequence[Item]) -> None:
    """Write a page in the caller's transaction. Products come in the order of their ids, as an order takes them: so the
    two never wait for each other."""
    newest = {item.sku: item for item in sorted(items, key=lambda item: item.version)}
    found = Product.objects.filter(slug__in=newest).select_related("supply").order_by("pk")
    reports, restored = [], []
    for product in found:
        item, before = newest[product.slug], getattr(product, "supply", None)
        if before and item.version <= before.version:
            continue
        if before and _change(product.pk, before, item):
            restored.append(product.pk)
        delivered = max(item.delivered, before.delivered if before else 0)
        reports.append(SupplierItem(
            product=product, delivered=delivered, price=item.price, version=item.version, changed_at=Now()
        ))  # fmt: skip
    SupplierItem.objects.bulk_create(
        reports, update_conflicts=True, unique_fields=["product"], update_fields=COLUMNS
    )  # fmt: skip
    if restored:
        restocked.send(Product, product_ids=restored)
        warm_home_soon()


def _change(product: int, before: SupplierItem, item: Item) -> bool:
    """Apply the conflict rule to a product; returns whether pieces came."""
    more = item.delivered - before.delivered
    if more < 0:
        log.warning("the supplier's counter of product %s went back by %s", product, -more)
    follows = Q(price=before.price) & (Q(was=None) | Q(was__gt=item.price))
    if more > 0 or item.price != before.price:
        Product.objects.filter(pk=product).update(
            stock=F("stock") + max(0, more), price=Case(When(follows, then=item.price), default=F("price"))
        )
    return more > 0
