"""429 and a page that says when to come back."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from backroom.inbound.limits import LimitReached


class LimitMiddleware:
    """Turn a view's LimitReached into the page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, LimitReached):
            return None
        response = render(request, "429.html", {"error": error}, status=429)
        response["Retry-After"] = str(error.seconds)
        return response
