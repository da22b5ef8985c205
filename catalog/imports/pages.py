"""The pages of an import for staff: upload, columns, dry run, progress, errors, apply, cancel, undo."""

import csv
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from backroom.ledger.models import Job
from backroom.ops import audit_log
from backroom.ops.formats import seconds
from backroom.outbound.errors import Away
from catalog.cells import harmless
from catalog.imports import progress, requests
from catalog.imports.forms import ColumnsForm, TextForm, UploadForm
from catalog.imports.models import Import
from catalog.imports.states import State, later

ADD, WRITE = "catalog.add_import", ("catalog.add_product", "catalog.change_product")
SHOWN = 50  # errors on the page


class Act(NamedTuple):
    """What staff do to an import in one of these states, with these permissions."""

    label: str
    verb: Callable[[int], bool]
    past: str
    said: str
    states: tuple[State, ...]
    needs: tuple[str, ...] = (ADD,)


ACTS = {
    "apply": Act("Apply", requests.apply, "applied", "The import is being applied.", (State.CHECKED,), (ADD, *WRITE)),
    "cancel": Act(
        "Cancel",
        requests.cancel,
        "cancelled",
        "The import is cancelled.",
        (State.UPLOADED, State.READING, State.CHECKED, State.APPLYING),
    ),
    "undo": Act(
        "Undo",
        requests.undo,
        "undid",
        "The import is being undone.",
        (State.APPLIED, State.CANCELLED),
        (ADD, *WRITE, "catalog.delete_product"),
    ),
}


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(ADD, raise_exception=True)
def upload(request: HttpRequest) -> HttpResponse:
    """A POST stores the file's bytes and enqueues a look into it."""
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if form.is_valid():
        try:
            made = requests.upload(form.cleaned_data["file"], request.user.pk)
            return redirect("admin:catalog_import_page", made.pk)
        except Away:
            form.add_error("file", "The storage does not answer. Nothing was stored. Try again in a minute.")
    context = {**_context(request), "title": "Import products", "form": form}
    return render(request, "admin/catalog/import/upload.html", context, status=422 if form.errors else 200)


def _context(request: HttpRequest) -> dict[str, Any]:
    return {**admin.site.each_context(request), "opts": Import._meta}


@require_safe
@permission_required("catalog.view_import", raise_exception=True)
def page(request: HttpRequest, id: int) -> HttpResponse:
    """It requests itself again while a job works on the import."""
    return _page(request, get_object_or_404(Import, pk=id))


def _page(request: HttpRequest, found: Import, columns: ColumnsForm | None = None) -> HttpResponse:
    opened = "heading" in found.options
    asked = found.state == State.UPLOADED and opened and request.user.has_perm(ADD)
    now, wrong = progress.progress(found), found.rows.exclude(errors=[]).order_by("line")
    acts = {name: act for name, act in ACTS.items() if found.state in act.states and request.user.has_perms(act.needs)}
    if not found.file or (found.state == State.CANCELLED and not found.rows.filter(done=True).exists()):
        acts.pop("undo", None)
    first = later(found).first() if "undo" in acts else None
    if first:
        del acts["undo"]
    waits = (found.state == State.UPLOADED and not opened) or now is not None
    listed = [] if waits else list(wrong[: SHOWN + 1])
    context = {
        **_context(request),
        "title": found.name or str(found),
        "import": found,
        "opened": opened,
        "waits": waits,
        "failed": waits and not now and _is_dead(found),
        "progress": now,
        "rate": now and round(now.rate),
        "left": now and now.left_s is not None and seconds(now.left_s),
        "errors": listed[:SHOWN],
        "more": len(listed) > SHOWN,
        "acts": acts,
        "undo_first": first,
        "columns": columns or (ColumnsForm(found) if asked else None),
        "text": TextForm(initial=found.options) if asked and not found.options.get("sheet") else None,
        "asks": next((name for name in acts if name in request.GET), ""),
        "may_repeat": found.state == State.CHECKED and found.file and request.user.has_perm(ADD),
    }
    status = 422 if columns and columns.errors else 200
    return render(request, "admin/catalog/import/page.html", context, status=status)


def _is_dead(found: Import) -> bool:
    return Job.objects.filter(task="catalog.open_import", args__import_id=found.pk, state="dead").exists()


@require_POST
@permission_required(ADD, raise_exception=True)
def columns(request: HttpRequest, id: int) -> HttpResponse:
    """Begin the dry run with the chosen columns; look again, with another encoding; or begin anew after a dry run."""
    found = get_object_or_404(Import, pk=id)
    act = request.POST.get("act", "")
    if act == "again":
        made = requests.again(id, request.user.pk)
        return redirect("admin:catalog_import_page", made.pk if made else id)
    if act == "reopen":
        text = TextForm(request.POST)
        if text.is_valid():
            requests.reopen(id, **text.cleaned_data)
        return redirect("admin:catalog_import_page", id)
    if found.state != State.UPLOADED or "heading" not in found.options:
        messages.warning(request, "Nothing was changed: the import is past that.")
        return redirect("admin:catalog_import_page", id)
    form = ColumnsForm(found, request.POST)
    if not form.is_valid():
        return _page(request, found, form)
    style = {name: form.cleaned_data[name] for name in ("decimal", "dates")}
    requests.read(id, form.columns(), found.options | style)
    return redirect("admin:catalog_import_page", id)


@require_POST
@permission_required(ADD, raise_exception=True)
def act(request: HttpRequest, id: int) -> HttpResponse:
    """A change and its entry in one transaction, so of two clicks one is logged."""
    chosen = ACTS.get(request.POST.get("act", ""))
    if chosen is None:
        raise Http404
    if not request.user.has_perms(chosen.needs):
        raise PermissionDenied
    with transaction.atomic():
        if done := chosen.verb(id):
            audit_log.note(chosen.past, f"import {id}", request.user.get_username())
    if done:
        messages.success(request, chosen.said)
    else:
        messages.warning(request, "Nothing was changed: the import is past that.")
    return redirect("admin:catalog_import_page", id)


class _Echo:
    """A file of csv.writer's that returns what is written."""

    def write(self, text: str) -> str:
        return text


@require_safe
@permission_required("catalog.view_import", raise_exception=True)
def errors(request: HttpRequest, id: int) -> StreamingHttpResponse:
    """All errors as CSV. No cell of it is a formula."""
    found = get_object_or_404(Import, pk=id)

    def lines() -> Iterator[str]:
        writer = csv.writer(_Echo())
        yield "\ufeff" + writer.writerow(["Row", "Column", "Error"])
        for row in found.rows.exclude(errors=[]).only("line", "errors").order_by("line").iterator():
            for column, text in row.errors:
                yield writer.writerow([row.line, harmless(column), harmless(text)])

    headers = {"Content-Disposition": f'attachment; filename="import-{id}-errors.csv"'}
    return StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8", headers=headers)
