"""Stock and prices by the supplier's feed: pages, repeats, faults and cuts in the middle, and the conflict rule."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
import urllib3
from celery import current_app
from django.conf import settings

from backroom import RetryAfter
from backroom.ledger.models import Job, State
from backroom.outbound import breaker
from backroom.outbound.errors import PartnerUnavailable
from catalog import supplier
from catalog.models import Product, SupplierItem, SyncState
from catalog.signals import restocked
from catalog.supplier import step, sync
from catalog.tasks import sync_supplier
from tests.integration import buying
from tests.integration.buying import all_at_once, buy, fault, stock_of, traffic
from tests.integration.paid_orders import again, attempted

pytestmark = pytest.mark.django_db
FRUIT = ("apples", "bananas", "cherries", "dates", "elderberries")


@pytest.fixture(autouse=True)
def feed(partners: str, settings) -> str:
    settings.BACKROOM_PARTNER_RATES = settings.BACKROOM_PARTNER_RATES | {"supplier": 1000}
    return partners


@pytest.fixture
def fruit(monkeypatch) -> list[Product]:
    """Five products, which the supplier reported once: on three pages."""
    monkeypatch.setattr(supplier, "PAGE", 2)
    products = [buying.product(slug) for slug in FRUIT]
    supplies(dict.fromkeys(FRUIT, 100))
    assert sync() == 5
    return products


def supplies(delivered: dict[str, int], price: str = "2.40") -> None:
    """Change what the supplier reports."""
    items = [{"sku": sku, "delivered": count, "price": price} for sku, count in delivered.items()]
    answer = urllib3.request("PUT", f"{settings.BACKROOM_PARTNERS_URL}/supplies", json={"items": items})
    assert answer.status == 200, answer.data


@contextmanager
def hearing(receiver: Callable[..., None]) -> Iterator[None]:
    """Have this function receive `restocked` during the block."""
    restocked.connect(receiver)
    try:
        yield
    finally:
        restocked.disconnect(receiver)


def stocks() -> dict[str, int]:
    return dict(Product.objects.values_list("slug", "stock"))


def price_of(slug: str) -> Decimal:
    return Product.objects.get(slug=slug).price


# The conflict rule


def test_the_first_report_of_a_product_changes_nothing_and_the_next_ones_add_their_difference(fruit):
    assert set(stocks().values()) == {10}
    supplies({"apples": 107})
    assert sync() == 1
    assert stocks() == dict.fromkeys(FRUIT, 10) | {"apples": 17}


def test_an_order_and_a_count_of_staff_in_between_stay(fruit):
    supplies({"apples": 107})
    assert buy("apples", 3).status == "paid"
    Product.objects.filter(slug="bananas").update(stock=2)
    sync()
    assert (stock_of("apples"), stock_of("bananas")) == (14, 2)


def test_a_repeated_report_adds_nothing(fruit):
    supplies({"apples": 107})
    sync()
    SyncState.objects.update(watermark="", cursor="", etag="")
    assert sync() == 5
    assert stock_of("apples") == 17


def test_an_older_report_and_a_counter_that_goes_back_add_nothing(fruit):
    supplies({"apples": 90}, price="2.60")
    sync()
    assert (stock_of("apples"), price_of("apples")) == (10, Decimal("2.60"))
    supplies({"apples": 105})
    sync()
    assert stock_of("apples") == 15  # from 100, the most that was reported
    SupplierItem.objects.update(version=10**6)
    supplies({"apples": 500})
    sync()
    assert stock_of("apples") == 15


def test_a_price_follows_the_supplier_until_staff_set_another_and_again_once_they_set_it_back(fruit):
    supplies({"apples": 100}, price="2.60")
    sync()
    assert price_of("apples") == Decimal("2.60")
    Product.objects.update(price="1.99")
    supplies({"apples": 100}, price="2.80")
    sync()
    assert price_of("apples") == Decimal("1.99")
    Product.objects.update(price="2.80")
    supplies({"apples": 100}, price="3.00")
    sync()
    assert price_of("apples") == Decimal("3.00")


@pytest.mark.parametrize(("price", "then"), [("2.50", "2.50"), ("2.90", "2.40"), ("3.00", "2.40")])
def test_an_offer_stays_below_the_price_before_it(fruit, price, then):
    Product.objects.update(was="2.90")
    supplies({"apples": 100}, price=price)
    sync()
    assert price_of("apples") == Decimal(then)


def test_a_product_that_the_shop_does_not_have_is_left_out_and_begins_once_it_has_it(fruit):
    supplies({"figs": 40, "apples": 101})
    assert sync() == 2
    buying.product("figs", stock=6)
    supplies({"figs": 50})
    sync()
    supplies({"figs": 52})
    sync()
    assert (stock_of("figs"), stock_of("apples")) == (8, 11)


def test_only_products_of_which_pieces_came_count_as_restocked(fruit):
    heard: list[int] = []

    def receive(product_ids: list[int], **_: Any) -> None:
        heard.extend(product_ids)

    with hearing(receive):
        supplies({"apples": 100, "bananas": 101}, price="2.60")
        sync()
    assert heard == [fruit[1].pk]


# Cursor and watermark


def test_a_change_behind_the_cursor_comes_in_the_next_run(fruit):
    supplies(dict.fromkeys(FRUIT, 110))
    assert step() == (2, True)  # apples and bananas
    supplies({"apples": 120, "dates": 130})
    assert sync() == 3
    assert stocks() == {"apples": 20, "bananas": 20, "cherries": 20, "dates": 40, "elderberries": 20}
    assert sync() == 2
    assert stocks() == {"apples": 30, "bananas": 20, "cherries": 20, "dates": 40, "elderberries": 20}


def test_a_run_that_was_cut_off_goes_on_at_its_page(fruit):
    supplies(dict.fromkeys(FRUIT, 110))
    before = traffic("supplier")["requests"]
    step()
    fault("supplier", truncate=True)
    with pytest.raises(PartnerUnavailable):
        sync()
    assert sum(stocks().values()) == 70
    fault("supplier")
    assert sync() == 3
    assert set(stocks().values()) == {20}
    assert traffic("supplier")["requests"] - before == 4


def test_a_page_and_its_cursor_are_one_transaction(fruit):
    supplies(dict.fromkeys(FRUIT, 110))

    def crash(**_: Any) -> None:
        raise RuntimeError

    with hearing(crash), pytest.raises(RuntimeError):
        step()
    assert set(stocks().values()) == {10}
    assert SyncState.objects.get().cursor == ""
    sync()
    assert set(stocks().values()) == {20}


def test_a_feed_without_changes_is_a_304(fruit):
    assert [sync(), sync()] == [0, 0]
    state = SyncState.objects.get()
    assert state.etag
    found = supplier.partner.get_changed(f"/supplier/changes?cursor={state.watermark}&limit=2", state.etag)
    assert found is None
    supplies({"apples": 101})
    assert sync() == 1


def test_a_cursor_that_the_supplier_no_longer_has_begins_a_run_anew(fruit, feed):
    urllib3.request("POST", f"{feed}/reset")
    supplies({"apples": 103})
    assert sync() == 1
    assert stock_of("apples") == 13


@pytest.mark.django_db(transaction=True)
def test_two_workers_with_one_page_write_it_once(fruit):
    for count in (110, 120, 130):
        supplies(dict.fromkeys(FRUIT, count))
        found = all_at_once(sync, sync, sync)
        assert all(isinstance(each, int) for each in found), found
        sync()
        assert set(stocks().values()) == {count - 90}


# The job


@pytest.mark.parametrize(
    "switches",
    [
        {"status": 429},
        {"status": 503},
        {"truncate": True},
        {"garbage": True},
        {"accept_then_fail": True},
        {"down": True},
    ],
    ids=str,
)
def test_each_fault_of_the_supplier_writes_nothing_and_passes(fruit, switches):
    supplies({"apples": 107})
    fault("supplier", **switches)
    job = attempted(sync_supplier.enqueue())
    assert job.state == State.WAITING
    assert stock_of("apples") == 10
    fault("supplier")
    breaker.reset()  # as if the time of a Retry-After were over
    job = again(job)
    assert (job.state, job.result) == (State.SUCCEEDED, 1), job.error
    assert stock_of("apples") == 17


def test_a_429_says_when_to_come_back(fruit):
    fault("supplier", status=429)
    with pytest.raises(RetryAfter) as caught:
        sync()
    assert caught.value.seconds == 2


def test_a_run_longer_than_its_time_limit_goes_on_in_another_turn_without_using_an_attempt(fruit, monkeypatch):
    monkeypatch.setitem(current_app.conf, "task_soft_time_limit", 1e-6)
    supplies(dict.fromkeys(FRUIT, 110))
    job = attempted(sync_supplier.enqueue())
    assert (job.state, job.attempts, sum(stocks().values())) == (State.WAITING, 0, 90)  # of five products, four
    assert again(job).state == State.SUCCEEDED
    assert set(stocks().values()) == {20}


def test_a_slot_during_a_run_brings_no_second_one():
    assert sync_supplier.enqueue() == sync_supplier.enqueue()
    assert Job.objects.filter(task="catalog.sync_supplier").count() == 1
