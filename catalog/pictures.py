"""Our drawings: one SVG for each product, named by its slug."""

from pathlib import Path

from django.templatetags.static import static

FOLDER = Path(__file__).parent / "static" / "catalog" / "pictures"
DRAWN = frozenset(path.stem for path in FOLDER.glob("*.svg"))
FALLBACK = "crate"


def picture_url(slug: str) -> str:
    """The address of the product's picture; a crate where nobody has drawn it yet.

    The check is ours because hashed static files raise for a name they don't know: one product added by
    staff would take down every page it is on.
    """
    return static(f"catalog/pictures/{slug if slug in DRAWN else FALLBACK}.svg")
