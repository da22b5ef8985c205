"""Product search by PostgreSQL full text. It accepts any input."""

import unicodedata
from difflib import get_close_matches

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db import connection
from django.db.models import F, QuerySet

from catalog.models import Product

LONGEST = 100  # characters of a search; the rest is cut off
SHORTEST = 3  # letters of a word that is corrected; a shorter one is similar to too many
ALIKE = 0.75  # of difflib's ratio: "aple" is like "apples" by 0.8
WORDS = r"""
SELECT DISTINCT word FROM catalog_product, regexp_split_to_table(lower(name || ' ' || also_called), '\s+') AS word
WHERE active AND ts_lexize('english_stem', word) <> '{}'
"""


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
    """The products that match a tidy, non-empty text, best match first."""
    query = query_for(text)
    found = products.filter(search=query)
    return found.annotate(rank=SearchRank(F("search"), query)).order_by("-rank", "name")


def respelt(text: str) -> str:
    """The text with each word replaced by the most similar one of all names: "appel" as "apples". A word that is left
    out ("-sweet") stays. It reads all names, which costs milliseconds for hundreds of products; for thousands
    PostgreSQL's pg_trgm has an index."""
    # People type the singular, and letters without accents or with wrong ones.
    known = {_plain(form): word for word in _words() for form in (word.removesuffix("s"), word)}

    def closest(typed: str) -> str:
        if len(typed) < SHORTEST or typed.startswith("-"):
            return typed
        matches = get_close_matches(_plain(typed), known, 1, ALIKE)
        return known[matches[0]] if matches else typed

    return " ".join(map(closest, text.casefold().split()))


def _words() -> list[str]:
    """The words of all names, without those that PostgreSQL leaves out of a search, such as "the"."""
    with connection.cursor() as cursor:
        cursor.execute(WORDS)
        return sorted({word.casefold() for (word,) in cursor.fetchall()})


def _plain(word: str) -> str:
    """The word without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFD", word) if not unicodedata.combining(letter))
