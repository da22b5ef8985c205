"""The shop's own 404 with DEBUG, too, instead of Django's list of our addresses: the demo runs with DEBUG."""

from collections.abc import Callable

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.views.defaults import page_not_found


class NotFoundMiddleware:
    """Replace Django's page under DEBUG. A 404 that a view renders stays, such as that of the operations' pages. It
    comes last, as an unknown address, without a view, never reaches `process_exception`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        page = response.status_code == 404 and request.resolver_match is None
        return page_not_found(request, Http404()) if settings.DEBUG and page else response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return page_not_found(request, Http404()) if settings.DEBUG and isinstance(error, Http404) else None
