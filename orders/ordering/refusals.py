"""Why an order is not accepted. Nothing was saved, and the message is for the customer."""


class Refused(Exception):
    """`slug` is of the product that it is about, or ""."""

    def __init__(self, message: str, slug: str = "") -> None:
        super().__init__(message)
        self.slug = slug


class UnknownProduct(Refused):
    """The product does not exist or is no longer sold."""


class PriceChanged(Refused):
    """The price differs from the one that the customer saw."""


class SoldOut(Refused):
    """Fewer pieces are in stock than ordered."""


class NoCarrier(Refused):
    """No carrier delivers to the customer's country."""


class TooLarge(Refused):
    """The total exceeds LARGEST_TOTAL, or the pieces MAX_PIECES."""


class KeyReused(Refused):
    """The idempotency key names a different order."""


class Closed(Refused):
    """The account is being deleted."""
