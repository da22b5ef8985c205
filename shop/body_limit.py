"""413 for a body over DATA_UPLOAD_MAX_MEMORY_SIZE, before it is read: Django writes a form's files to the disk first,
and only then looks at the CSRF token. Signed-in staff upload files below /admin/, up to UPLOAD_MAX_SIZE."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string

from catalog.media import temporary
from orders.storefront import problems

UPLOADS = "/admin/"  # as in proxy/nginx.conf
TOO_LARGE = (413, "Content Too Large", "The request body is too large.")
NO_LENGTH = (411, "Length Required", "Send the request body with a Content-Length.")


class BodyLimitMiddleware:
    """Refuses without a session what staff can't upload either."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        most = settings.UPLOAD_MAX_SIZE if request.path_info.startswith(UPLOADS) else 0
        if _length(request) > max(most, settings.DATA_UPLOAD_MAX_MEMORY_SIZE):
            return _refuse(request, *TOO_LARGE)
        if "Transfer-Encoding" in request.headers:  # Django takes a body without a length for an empty one
            return _refuse(request, *NO_LENGTH)
        return self.get_response(request)


class UploadMiddleware:
    """Refuses the uploads of all but staff. It comes after StaffMiddleware, and before any view or CSRF check reads."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if _length(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            if not request.user.is_staff:
                return _refuse(request, *TOO_LARGE)
            temporary.folder()
        return self.get_response(request)


def _length(request: HttpRequest) -> int:
    return int(request.META.get("CONTENT_LENGTH") or 0)


def _refuse(request: HttpRequest, status: int, title: str, detail: str) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        return problems.problem(status, "", title, detail)
    # Without the request, as no session is there yet.
    return HttpResponse(
        render_to_string("413.html", {"status": status, "title": title, "detail": detail}), status=status
    )
