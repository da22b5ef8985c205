"""The tables of carts, and each change of them.

A change of a quantity first updates the cart's row, which locks it: concurrent changes follow each other, and none is
lost. A guest's session holds the cart's id only, so a session that another request saves late overwrites nothing of it.
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now

from catalog.media import gallery
from catalog.models import Product
from orders.signals import cart_changed

MAX_QUANTITY = 99  # of one product
MAX_LINES = 50
MAX_PIECES = 200  # of all products: one unpaid order must not empty the shop


def new_token() -> str:
    """192 random bits for a URL or a key."""
    return secrets.token_urlsafe(24)


class CartFull(Exception):
    """The stock or the cart does not hold this quantity; the message is for the visitor."""


class Cart(models.Model):
    """The cart of one account, or of one session of a guest. `key` is the idempotency key of its next order: the same
    in every window."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="cart")
    # A guest has signed in, and the pieces are in the account's cart. The row stays for `_lock`.
    merged_into = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=43, default=new_token)
    changed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"Cart {self.pk}"

    @property
    def pieces(self) -> int:
        return self.items.aggregate(pieces=models.Sum("quantity"))["pieces"] or 0

    def lines(self) -> list["CartItem"]:
        """The items, in the order in which they were added."""
        return list(self.items.select_related("product").prefetch_related(gallery.covers("product__media")))

    def add(self, product: Product, quantity: int) -> None:
        """Add to the product's quantity. Raises CartFull."""
        with self._changing():
            item = self.items.filter(product=product).first()
            self._set(product, quantity + (item.quantity if item else 0))

    def set(self, product: Product, quantity: int) -> None:
        """Set the product's quantity; 0 removes it. Raises CartFull."""
        with self._changing():
            self._set(product, quantity)

    def accept_prices(self) -> None:
        """Record that the visitor has seen today's prices."""
        today = Product.objects.filter(pk=models.OuterRef("product_id")).values("price")
        self.items.exclude(seen=models.F("product__price")).update(seen=models.Subquery(today))

    def renew_key(self) -> None:
        """The next order is another one."""
        self.key = new_token()
        Cart.objects.filter(pk=self.pk).update(key=self.key)

    def take_out(self, lines: Iterable[tuple[int, int]]) -> None:
        """Remove the pieces of an order, by product id and quantity. Later additions stay."""
        with self._changing():
            for product_id, quantity in lines:
                item = self.items.filter(product_id=product_id)
                item.filter(quantity__lte=quantity).delete()
                item.update(quantity=models.F("quantity") - quantity)

    def give_back(self, lines: Iterable[tuple[int, int, Decimal]]) -> None:
        """Put the pieces of an order back, by product id, quantity and price."""
        with self._changing():
            for product_id, quantity, price in lines:
                item, new = self.items.get_or_create(
                    product_id=product_id, defaults={"quantity": quantity, "seen": price}
                )
                if not new:
                    item.quantity = min(MAX_QUANTITY, item.quantity + quantity)
                    item.save(update_fields=["quantity"])

    def fill(self, lines: Iterable[tuple[Product, int, Decimal]]) -> list[int]:
        """Add at most these quantities of products, each with the price that the visitor saw last, as far as the cart
        holds them. Returns how many of each it took."""
        with self._changing():
            return [self._fill(*line) for line in lines]

    def _fill(self, product: Product, quantity: int, seen: Decimal) -> int:
        item = self.items.filter(product=product).first()
        before = item.quantity if item else 0
        if item is None and self.items.count() >= MAX_LINES:
            return 0
        fits = max(0, min(quantity, MAX_QUANTITY - before, MAX_PIECES - self.pieces))
        if fits:
            self.items.update_or_create(
                product=product,
                defaults={"quantity": before + fits},
                create_defaults={"quantity": fits, "seen": seen},
            )
        return fits

    def merge(self, guest: int) -> list[str]:
        """Move the pieces of a guest's cart into this one of an account. Returns the names of the products of which
        pieces were left out, as the cart holds no more.

        Race: the sign-in is sent twice. The lock puts one behind the other, and the second finds the cart merged. Or
        the guest adds a product in another window: it is moved along, or waits and goes where `_lock` says.
        """
        with transaction.atomic():
            guests = Cart.objects.select_for_update(no_key=True).filter(pk=guest, user=None, merged_into=None)
            if (found := guests.first()) is None:
                return []
            lines = found.lines()
            took = self.fill((line.product, line.quantity, line.seen) for line in lines)
            found.items.all().delete()
            Cart.objects.filter(pk=guest).update(merged_into=self)
        return [line.product.name for line, fits in zip(lines, took, strict=True) if fits < line.quantity]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with transaction.atomic():
            self._lock()
            yield
            cart_changed.send(Cart, cart=self)

    def _lock(self) -> None:
        """Race: the guest has signed in since this cart was read. Go on with the account's."""
        while Cart.objects.filter(pk=self.pk).update(changed_at=Now()):
            self.refresh_from_db()
            if self.merged_into_id is None:
                return
            self.pk = self.merged_into_id

    def _set(self, product: Product, quantity: int) -> None:
        if quantity == 0:
            self.items.filter(product=product).delete()
            return
        if quantity > product.available:
            raise CartFull(f"{product.name}: {product.left}.")
        if quantity > MAX_QUANTITY:
            raise CartFull(f"{product.name}: at most {MAX_QUANTITY} in one order.")
        item = self.items.filter(product=product).first()
        if item is None and self.items.count() >= MAX_LINES:
            raise CartFull(f"At most {MAX_LINES} different products fit in one order.")
        more = quantity - (item.quantity if item else 0)
        # An unpaid order that comes back may have filled the cart beyond it. Fewer are always possible.
        if more > 0 and self.pieces + more > MAX_PIECES:
            raise CartFull(f"{product.name}: an order can have at most {MAX_PIECES} pieces in all.")
        self.items.update_or_create(
            product=product,
            defaults={"quantity": quantity},
            create_defaults={"quantity": quantity, "seen": product.price},
        )


class CartItem(models.Model):
    """One product in a cart. `seen` is the price that the visitor saw last."""

    cart = models.ForeignKey(Cart, on_delete=models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="+")
    quantity = models.PositiveSmallIntegerField()
    seen = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["cart", "product"], name="orders_cartitem_product_once"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="orders_cartitem_quantity_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.product_id}"

    @property
    def total(self) -> Decimal:
        return self.product.price * self.quantity

    @property
    def price_changed(self) -> bool:
        return self.seen != self.product.price

    @property
    def too_many(self) -> bool:
        """Such an item can't be bought, and no sum counts it."""
        return self.quantity > self.product.available
