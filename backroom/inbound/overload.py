"""503 with Retry-After for a request whose job an overloaded queue refuses."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from backroom.runtime.backpressure import Overloaded, in_request


class OverloadMiddleware:
    """Lets queues refuse what the request enqueues, and turns an Overloaded that leaves the view into the 503."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        before = in_request.set(True)
        try:
            return self.get_response(request)
        finally:
            in_request.reset(before)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, Overloaded):
            return None
        headers = {"Retry-After": str(error.retry_after), "Cache-Control": "no-store"}
        return HttpResponse("Try again later.\n", "text/plain", status=503, headers=headers)
