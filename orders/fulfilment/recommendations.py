"""Recommendations: which products are bought together. Each order is counted at once, and all of them anew each
night."""

from operator import itemgetter

from django.db import connection

from backroom import resumable
from catalog.search.index import chunks
from orders.models import Order

STEP = 10  # products counted anew in one transaction: one that is in every order has long lists
# A pair that staff entered, or that no order has any more, stays with 0.
RECOUNT = """
INSERT INTO catalog_boughttogether AS pair (product_id, other_id, count)
SELECT product_id, other_id, sum(bought) FROM (
    SELECT one.product_id, other.product_id AS other_id, 1 AS bought
    FROM orders_orderline one JOIN orders_orderline other USING (order_id) JOIN orders_order ON number = order_id
    WHERE one.product_id = ANY(%(products)s) AND one.product_id <> other.product_id
        AND learned AND status <> 'cancelled'
    UNION ALL SELECT product_id, other_id, 0 FROM catalog_boughttogether WHERE product_id = ANY(%(products)s)
) counted GROUP BY product_id, other_id
ON CONFLICT (product_id, other_id) DO UPDATE SET count = excluded.count WHERE pair.count <> excluded.count
"""


def learn_from(number: int) -> None:
    """Count each pair of the order's products once more, in both directions. Does nothing for an order that was counted
    before.

    Call it in a transaction, as an atomic task does. Concurrent orders with common pairs lock the same rows: always in
    this order, so without a deadlock.
    """
    if not Order.objects.filter(number=number, learned=False).update(learned=True):
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO catalog_boughttogether AS pair (product_id, other_id, count)
            SELECT one.product_id, other.product_id, 1
            FROM orders_orderline one JOIN orders_orderline other USING (order_id)
            WHERE order_id = %s AND one.product_id <> other.product_id
            ORDER BY one.product_id, other.product_id
            ON CONFLICT (product_id, other_id) DO UPDATE SET count = pair.count + 1
            """,
            [number],
        )


def rebuild() -> None:
    """Count the pairs of all products anew, without the orders that were cancelled since. For a job: it goes on where a
    crash cut it off. A page reads a product's old numbers, or its new ones."""
    for products in (steps := resumable(lambda after: chunks(after or 0, STEP), cursor=itemgetter(-1))):
        with steps.atomic():
            _recount(products)


def _recount(products: list[int]) -> None:
    """Race: an order is counted now. The table's lock puts it before, and RECOUNT sees it, or behind, and it is added
    to the new number."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE catalog_boughttogether IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(RECOUNT, {"products": products})
