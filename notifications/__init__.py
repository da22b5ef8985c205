"""Mail to any recipient. This room never imports an order."""
