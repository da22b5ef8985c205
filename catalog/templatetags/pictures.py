"""`{{ slug|picture }}`: the URL of a product's drawing. `{% cover product "5rem" 80 %}`: its first picture, or the
drawing. `{% photo media "50vw" alt %}`: one picture. The length is for `sizes`."""

from typing import Any

from django import template

from catalog.media import gallery
from catalog.media.models import Media
from catalog.models import Product
from catalog.pictures import picture_url

register = template.Library()
register.filter("picture", picture_url)


@register.inclusion_tag("catalog/_cover.html")
def cover(product: Product, sizes: str, pixels: int) -> dict[str, Any]:
    """Square, and without a description: it stands beside the product's name."""
    return {"product": product, "media": gallery.cover(product), "sizes": sizes, "pixels": pixels}


@register.inclusion_tag("catalog/_photo.html")
def photo(media: Media, sizes: str, alt: str = "", first: bool = False) -> dict[str, Any]:
    """A picture, or a clip's poster. `first`: the page's largest, which is not loaded lazily."""
    sources = gallery.srcsets(media)
    jpegs = gallery.files(media, "image/jpeg")
    return {
        "media": media,
        "sizes": sizes,
        "alt": alt,
        "first": first,
        "jpeg": sources.pop("image/jpeg", ""),
        "sources": sources,
        "src": gallery.url(jpegs[-1]["name"]) if jpegs else "",
    }


@register.filter
def largest(media: Media, type: str) -> str:
    """The URL of the largest file of a type; "" if there is none."""
    found = gallery.files(media, type)
    return gallery.url(found[-1]["name"]) if found else ""


@register.filter
def clips(media: Media) -> list[tuple[str, bool]]:
    """The URLs of a clip, the smallest first, each with whether it is for a telephone."""
    found = gallery.files(media, "video/mp4")
    return [(gallery.url(file["name"]), file is not found[-1]) for file in found]
