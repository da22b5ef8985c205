"""Why a file is not published."""


class Refused(Exception):
    """The file itself is the reason, so no repetition helps. Its text is a sentence for staff; no dead letter."""
