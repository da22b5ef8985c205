"""Names for what is typed so far, and words for what is misspelt, both by trigrams (pg_trgm).

PostgreSQL takes trigrams of ASCII letters only where its locale is C, as the demo's is. There other letters are still
found by their beginning, without the index.
"""

import unicodedata

from django.db import OperationalError, connection, transaction
from django.db.models import Q

from backroom.ledger import db_errors
from catalog.models import Product
from catalog.search.query import LIVE

SHOWN = 8  # names
BEGUN = 2  # letters from which names are suggested; one begins too many
SHORTEST = 3  # letters of a word that is corrected; a shorter one is similar to too many
CORRECTED = 6  # words of a text, as each costs a look at the index
LONGEST = "500ms"  # of a guess: any client may request one, and in a large shop a word takes a third of a second
CANCELED = "57014"  # PostgreSQL's code of a statement that took longer
ALIKE = 0.3  # of 1: "appel" is like "apple" by 0.33
# The operator `<%` finds the names with such a word by their index.
CLOSEST = """
SELECT typed, word FROM unnest(%s::text[]) typed, LATERAL (
    SELECT word FROM catalog_searchentry
    JOIN catalog_product product ON product.id = product_id AND active,
    LATERAL regexp_split_to_table(btrim(words), ' ') word,
    LATERAL similarity(rtrim(word, 's'), rtrim(typed, 's')) alike
    WHERE generation = (SELECT live FROM catalog_searchindex) AND typed <%% words AND alike >= %s
        AND ts_lexize('english_stem', word) <> '{}'
    ORDER BY alike DESC, word LIMIT 1
) closest
"""


def suggestions(text: str) -> list[Product]:
    """Products, their names and slugs, with words that begin as those of a tidy text; or else as those of the text with
    another last word, which is the one that is being typed."""
    *words, last = text.split() or [""]
    return _begun(text) or _begun(" ".join([*words, respelt(last)]))


def _begun(text: str) -> list[Product]:
    words = plain(text).split()
    if len("".join(words)) < BEGUN:
        return []
    begin = [Q(search_entries__words__contains=f" {word}") for word in words]
    found = Product.objects.filter(*begin, search_entries__generation=LIVE, active=True)
    return list(found.order_by("-search_entries__bought", "name").only("name", "slug")[:SHOWN])


def respelt(text: str) -> str:
    """The text with each word replaced by the most similar one of all names: "appel" as "apples". A word that is left
    out ("-sweet") stays, and all do if the guess takes too long. People type the singular, and letters without accents
    or with wrong ones."""
    words = text.casefold().split()
    wrong = [word for word in words if len(word) >= SHORTEST and not word.startswith("-")][:CORRECTED]
    closest = _closest({plain(word) for word in wrong}) if wrong else {}
    return " ".join(closest.get(plain(word), word) if word in wrong else word for word in words)


def _closest(words: set[str]) -> dict[str, str]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [LONGEST])
            cursor.execute("SET LOCAL pg_trgm.word_similarity_threshold = %s", [ALIKE])
            cursor.execute(CLOSEST, [sorted(words), ALIKE])
            transaction.set_rollback(True)  # the two settings end here, also in a caller's transaction
            return dict(cursor.fetchall())
    except OperationalError as error:
        if db_errors.code(error) != CANCELED:
            raise
        return {}


def plain(text: str) -> str:
    """The words without accents and punctuation, as the index has them."""
    letters = unicodedata.normalize("NFD", text.lower())
    return "".join(each if each.isalnum() else " " for each in letters if not unicodedata.combining(each)).strip()
