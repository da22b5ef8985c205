"""Product drawings: one SVG per product, named by its slug."""

from pathlib import Path

from django.templatetags.static import static

FOLDER = Path(__file__).parent / "static" / "catalog" / "pictures"
DRAWN = frozenset(path.stem for path in FOLDER.glob("*.svg"))
FALLBACK = "crate"


def picture_url(slug: str) -> str:
    """The URL of the product's drawing, or of a crate for a product without one.

    Hashed static files raise for an unknown name. Without this check, one product that staff add would break every
    page that shows it.
    """
    return static(f"catalog/pictures/{slug if slug in DRAWN else FALLBACK}.svg")
