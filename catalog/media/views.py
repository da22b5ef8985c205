"""The files of pictures and clips, at /media/. A name never gets other content, so caches keep it for good.

The name is the key, 64 random bits that only a published row shows. So no picture costs a query, and a page that shows
a picture which was replaced a moment ago is still whole. No original has an address.
"""

import re

from django.core.files.storage import storages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls.converters import StringConverter
from django.views.decorators.http import require_safe

from backroom.outbound.errors import Away
from catalog.media import storage

TYPES = {"avif": "image/avif", "webp": "image/webp", "jpeg": "image/jpeg", "mp4": "video/mp4"}
# Bytes of a partial answer at most, which RFC 9110 allows: the kernel takes them at once (shop/web_worker.py), so a
# player that pauses holds no thread.
PART = 384 * 1024
RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
HEADERS = {"Accept-Ranges": "bytes", "Cache-Control": "public, max-age=31536000, immutable"}


class NameConverter(StringConverter):
    """A name that storage.save gives, but for an original's."""

    regex = rf"[0-9]{{1,18}}/[0-9a-f]{{16}}-(?!original)[a-z0-9]{{1,20}}\.(?:{'|'.join(TYPES)})"


@require_safe
def media(request: HttpRequest, name: str) -> HttpResponseBase:
    """The file, or the part of it that a player asks for. Without a Range, a slow client of a large clip holds a
    thread, unless a proxy reads the answer."""
    try:
        with storage.reached():
            return _answer(name, RANGE.fullmatch(request.headers.get("Range", "")))
    except FileNotFoundError:
        raise Http404("No file has this name.") from None
    except Away as away:
        headers = {"Retry-After": str(away.seconds), "Cache-Control": "no-store"}
        return HttpResponse("The storage does not answer.", status=503, content_type="text/plain", headers=headers)


def _answer(name: str, part: re.Match[str] | None) -> HttpResponseBase:
    file, type = storages["media"].open(name), TYPES[name.rpartition(".")[2]]
    if part is None:
        return FileResponse(file, content_type=type, headers=HEADERS)  # a bucket's file is loaded here
    with file:
        start, last = int(part[1]), int(part[2] or file.size)
        end = min(last + 1, start + PART, file.size)
        if start >= end:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{file.size}"})
        body = storage.part(file, start, end)
    headers = HEADERS | {"Content-Range": f"bytes {start}-{end - 1}/{file.size}"}
    return HttpResponse(body, content_type=type, status=206, headers=headers)
