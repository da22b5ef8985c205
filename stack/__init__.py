"""The room that sets up and runs the whole shop on one bare machine: its servers, its processes, its ports.

It imports no other room, and no Django but in prepare.py: it runs before there is anything for Django to connect to.
"""


class Problem(Exception):
    """Something that the person at the terminal can mend: the text is what they read, without a traceback."""
