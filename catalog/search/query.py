"""Product search by PostgreSQL full text. It accepts any input."""

import unicodedata

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import F, QuerySet

from catalog.index import SearchIndex
from catalog.models import Product

LONGEST = 100  # characters of a search; the rest is cut off
LIVE = SearchIndex.objects.values("live")[:1]


def tidy(text: str) -> str:
    """The input single-spaced, cut to LONGEST, without control characters (PostgreSQL rejects NUL)."""
    text = unicodedata.normalize("NFKC", text[: LONGEST * 4])
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:LONGEST].strip()


def query_for(text: str) -> SearchQuery:
    """Quotes, `or` and `-` work as in web searches. The last plain word may be a prefix: "red oni" finds onions."""
    query = SearchQuery(text, config="english", search_type="websearch")
    *words, last = text.split()
    if not "".join([*words, last]).isalnum():
        return query
    # isalnum() excludes quotes, so PostgreSQL never parses a customer's text as an operator.
    prefix = SearchQuery(f"'{last}':*", config="simple", search_type="raw")
    return query | (SearchQuery(" ".join(words), config="english") & prefix if words else prefix)


def search(products: QuerySet[Product], text: str) -> QuerySet[Product]:
    """The products that match a tidy, non-empty text, best match first; of equal ones the most bought."""
    query = query_for(text)
    found = products.filter(search_entries__generation=LIVE, search_entries__document=query)
    ranked = found.annotate(rank=SearchRank(F("search_entries__document"), query))
    return ranked.order_by("-rank", "-search_entries__bought", "name")
