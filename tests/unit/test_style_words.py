"""The check of banned words finds them over a line's end, and leaves questions and longer words alone."""

import pytest

from tests.style.words import hits


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Nobody waits.", ["Nobody"]),
        ("# it sends so\n# many mails", ["so # many"]),
        ("What was sent is kept.", ["What was"]),
        ("first, what is due", ["what is"]),
        ("What is Django?", []),
        ("The page shows what is due.", []),
        ("It waits until still water stills.", []),
        ("def test_nobody_waits", []),
    ],
)
def test_a_banned_word_is_found_as_a_word(text, words):
    assert [word for _, _, word, _ in hits(text)] == words


def test_a_hit_has_the_line_where_it_begins():
    assert [(number, line) for number, line, _, _ in hits("one\n# two till\nthree")] == [(2, "# two till")]
