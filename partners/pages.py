"""HTML pages from the Jinja templates in `templates`, with their security headers."""

import os
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent / "templates"
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def render(template: str, **values: object) -> web.Response:
    """A page as a response. SITE_URL, if set, is its link to the shop."""
    site = os.environ.get("SITE_URL", "")
    shop = site if site.startswith(("http://", "https://")) else ""
    text = ENVIRONMENT.get_template(template).render(values, shop=shop)
    return web.Response(text=text, content_type="text/html", headers=SECURITY)


def readable(at: str) -> str:
    """A time of the store, to the second."""
    return at[:19].replace("T", " ")


async def style(request: web.Request) -> web.FileResponse:
    return web.FileResponse(FOLDER / "style.css", headers={"Cache-Control": "max-age=60"})
