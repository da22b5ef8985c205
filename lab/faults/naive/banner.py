"""Says on every page that the shop runs without its ledger.

A middleware, so that it covers the shop, Operations, the admin and the error pages, and none of them knows of it.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

BODY = b"<body"


class Banner:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The response, with the banner as the first part of its body if it is a whole page."""
        response = self.get_response(request)
        if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
            return response
        start = response.content.find(BODY)
        if start < 0:  # a part of a page, for htmx
            return response
        at = response.content.index(b">", start) + 1
        about = {"shop": getattr(settings, "WITHOUT_LEDGER", ""), "lab": getattr(settings, "LAB_URL", "")}
        banner = render_to_string("naive/banner.html", about).encode()
        response.content = response.content[:at] + banner + response.content[at:]
        if "Content-Length" in response:
            response["Content-Length"] = str(len(response.content))
        return response
