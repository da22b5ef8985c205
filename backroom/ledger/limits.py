"""How much a job keeps. A person reads it on a page, and a follower gets a result as its argument."""

LIMIT = 8_000  # bytes of its arguments and of its result; characters of an error and of an attempt's log lines
DEPTH = 16  # levels of lists and objects in its arguments: Python reads JSON by recursion, and fails at some hundreds
RESULT_DEPTH = DEPTH - 1  # a follower's argument may hold it
LINE = 500  # characters of a log line, and of an error's summary


def clipped(text: str, limit: int = LIMIT) -> str:
    """A text of at most `limit` characters: of a longer one the first quarter and the end."""
    if len(text) <= limit:
        return text
    note = f" [{len(text) - limit:,} characters left out] "
    head = limit // 4
    return text[:head] + note + text[head + len(note) - limit :]
