"""429, or 503 of an overloaded queue, and a page that says when to come back."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from backroom import Overloaded
from backroom.inbound.limits import LimitReached


class LimitMiddleware:
    """Turn a view's LimitReached or Overloaded into the page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, LimitReached):
            response = render(request, "429.html", {"error": error}, status=429)
            response["Retry-After"] = str(error.seconds)
        elif isinstance(error, Overloaded):
            response = render(request, "503.html", {"action": request.get_full_path()}, status=503)
            response["Retry-After"] = str(error.retry_after)
        else:
            return None
        return response
