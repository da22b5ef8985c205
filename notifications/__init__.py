"""Mail to whoever; this room never sees an order."""
