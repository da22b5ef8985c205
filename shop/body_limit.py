"""413 for a body over DATA_UPLOAD_MAX_MEMORY_SIZE, before it is read: Django writes a form's files to the disk first,
and only then looks at the CSRF token. Staff upload files to the views of UPLOADS, up to UPLOAD_MAX_SIZE."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve

from catalog.media import temporary
from orders.storefront import problems

BELOW = "/admin/catalog/"  # their addresses, as in proxy/nginx.conf
UPLOADS = {  # and the permission that each needs
    "admin:catalog_product_media_add": "catalog.add_media",
    "admin:catalog_product_media_act": "catalog.change_media",
    "admin:catalog_import_add": "catalog.add_import",
}
TOO_LARGE = (413, "Content Too Large", "The request body is too large.")
NO_LENGTH = (411, "Length Required", "Send the request body with a Content-Length.")


class BodyLimitMiddleware:
    """Refuses without a session what staff can't upload either."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        most = settings.UPLOAD_MAX_SIZE if request.path_info.startswith(BELOW) else 0
        if _length(request) > max(most, settings.DATA_UPLOAD_MAX_MEMORY_SIZE):
            return _refuse(request, *TOO_LARGE)
        if "Transfer-Encoding" in request.headers:  # Django takes a body without a length for an empty one
            return _refuse(request, *NO_LENGTH)
        return self.get_response(request)


class UploadMiddleware:
    """Refuses the uploads of all but staff with the view's permission. It comes after StaffMiddleware, and before any
    view or CSRF check reads."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if _length(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            if not _may_upload(request):
                return _refuse(request, *TOO_LARGE)
            temporary.folder()
        return self.get_response(request)


def _may_upload(request: HttpRequest) -> bool:
    try:
        permission = UPLOADS.get(resolve(request.path_info).view_name)
    except Resolver404:
        return False
    return permission is not None and request.user.is_staff and request.user.has_perm(permission)


def _length(request: HttpRequest) -> int:
    return int(request.META.get("CONTENT_LENGTH") or 0)


def _refuse(request: HttpRequest, status: int, title: str, detail: str) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        return problems.problem(status, "", title, detail)
    # Without the request, as no session is there yet.
    return HttpResponse(
        render_to_string("413.html", {"status": status, "title": title, "detail": detail}), status=status
    )
