"""Product search: an index beside the products, which jobs keep fresh."""

from catalog.search.tasks import refresh, refresh_many

__all__ = ["refresh", "refresh_many"]
