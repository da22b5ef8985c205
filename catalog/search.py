"""Finding products by words: PostgreSQL full text, forgiving about what people type."""

import unicodedata

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import F, QuerySet

from catalog.models import Product

LONGEST = 100  # characters; more is not a search but noise


def tidy(text: str) -> str:
    """What was typed, without control characters (PostgreSQL refuses NUL), single-spaced, not too long."""
    text = unicodedata.normalize("NFKC", text[: LONGEST * 4])
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:LONGEST].strip()


def query_for(text: str) -> SearchQuery:
    """Quotes, `or`, `-` as on the web; the last of plain words may be unfinished: "red oni" finds onions."""
    query = SearchQuery(text, config="english", search_type="websearch")
    *words, last = text.split()
    if not all(word.isalnum() for word in [*words, last]):
        return query
    # isalnum() leaves nothing that could end the quotes, so no text of a customer is read as an operator.
    unfinished = SearchQuery(f"'{last}':*", config="simple", search_type="raw")
    if words:
        unfinished = SearchQuery(" ".join(words), config="english") & unfinished
    return query | unfinished


def search(products: QuerySet[Product], text: str) -> QuerySet[Product]:
    """Those of the products that match the tidy, non-empty text, best first."""
    query = query_for(text)
    found = products.filter(search=query)
    return found.annotate(rank=SearchRank(F("search"), query)).order_by("-rank", "name")
