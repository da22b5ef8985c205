"""Sets up and runs the whole shop on one bare machine: servers, processes and ports.

It imports no other room. Only prepare.py imports Django, since Django's servers do not run before.
"""


class Problem(Exception):
    """An error that the user can fix. The terminal shows its text without a traceback."""
