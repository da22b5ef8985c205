"""Files of others that the library carries, so that its pages need no app but their own."""

from pathlib import Path

import django_htmx

from backroom import ops


def test_the_operations_pages_carry_the_htmx_that_django_htmx_ships():
    ours = Path(ops.__file__).parent / "static" / "ops" / "htmx.min.js"
    theirs = Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-2.min.js"
    assert ours.read_bytes() == theirs.read_bytes()
