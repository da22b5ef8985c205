"""Recommendations: which products are bought together."""

from django.db import connection

from orders.models import Order


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
