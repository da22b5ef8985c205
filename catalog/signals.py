"""Signals of the catalog, for rooms above it."""

from django.dispatch import Signal

# `product_ids` may have been sold out until now. Sent in the transaction that raised their stock, after the UPDATE: a
# receiver reads the new stock, and its rows commit with it.
restocked = Signal()
