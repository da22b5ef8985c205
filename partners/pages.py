"""Pages from the files in `templates`: what is filled in is escaped, unless it is markup already."""

import os
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from aiohttp import web

FOLDER = Path(__file__).parent / "templates"
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Html(str):
    """Markup, not to be escaped again."""

    __slots__ = ()


@cache
def template(name: str) -> Template:
    """A file of the folder, read once."""
    return Template((FOLDER / name).read_text(encoding="utf-8"))


def fill(name: str, /, **values: object) -> Html:
    """A template with its values."""
    escaped = {key: value if isinstance(value, Html) else escape(str(value)) for key, value in values.items()}
    return Html(template(name).substitute(escaped))


def join(parts: Iterable[Html]) -> Html:
    """Pieces one after another."""
    return Html("".join(parts))


def link(href: str, text: str) -> Html:
    """A link of a navigation."""
    return fill("link.html", href=href, text=text)


def way_to_the_shop() -> Html:
    """A link to the shop, where whoever started us says where that is; nothing else here knows of it."""
    site = os.environ.get("SITE_URL", "")
    return link(site, "Shop") if site.startswith(("http://", "https://")) else Html()


def when(at: str) -> str:
    """A moment of the store, to the second."""
    return at[:19].replace("T", " ")


def page(title: str, content: Html, nav: Html) -> web.Response:
    """A whole page."""
    text = fill("layout.html", title=title, content=content, nav=join([nav, way_to_the_shop()]))
    return web.Response(text=text, content_type="text/html", headers=SECURITY)


async def style(request: web.Request) -> web.FileResponse:
    """The stylesheet of all pages."""
    return web.FileResponse(FOLDER / "style.css", headers={"Cache-Control": "max-age=60"})
