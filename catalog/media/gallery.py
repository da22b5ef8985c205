"""The published pictures and clips of products, as pages show them."""

from typing import TYPE_CHECKING

from django.db.models import Prefetch, QuerySet
from django.urls import reverse

from catalog.media.models import Media

if TYPE_CHECKING:
    from catalog.models import Product

TYPES = ("image/avif", "image/webp", "image/jpeg")  # a browser takes the first that it knows


def published() -> QuerySet[Media]:
    return Media.objects.filter(state=Media.State.PUBLISHED)


def pictures() -> QuerySet[Media]:
    return published().filter(kind=Media.Kind.PICTURE)


def covers(path: str = "media") -> Prefetch:
    """The first picture of each product of a list, in one query: for `prefetch_related`, before `cover`."""
    first = pictures().order_by("product_id", "position", "id").distinct("product_id")
    return Prefetch(path, first, to_attr="covers")


def cover(product: "Product") -> Media | None:
    """A product's first picture; None: it has a drawing only."""
    found = getattr(product, "covers", None)
    if found is None:
        found = pictures().filter(product=product)[:1]
    return next(iter(found), None)


def url(name: str) -> str:
    return reverse("catalog:media", args=[name])


def files(media: Media, type: str) -> list[dict]:
    """The files of a type, the smallest first."""
    return sorted((file for file in media.files if file["type"] == type), key=lambda file: file["width"])


def srcsets(media: Media) -> dict[str, str]:
    """The sizes of a picture, or of a clip's poster, as the attribute `srcset`, by type."""
    return {
        type: ", ".join(f"{url(file['name'])} {file['width']}w" for file in found)
        for type in TYPES
        if (found := files(media, type))
    }
