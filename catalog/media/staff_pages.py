"""The page of a product's pictures and clips: staff upload, describe, order, replace, cancel and delete them.

Each row is a form of its own, and an answer changes only the rows that are no longer as the browser shows them: what a
person types in another row stays. Without JavaScript each answer is the whole page.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from backroom.ops import audit_log
from backroom.outbound.errors import Away
from catalog.media import making, steps, upload
from catalog.media.forms import DescriptionForm, UploadForm
from catalog.media.models import Media
from catalog.models import Product

GONE = "It was deleted, or replaced."


@dataclass(frozen=True)
class Row:
    media: Media
    progress: making.Making | None
    form: DescriptionForm
    known: str | None  # the state that the browser shows; None: no row yet

    @property
    def changed(self) -> bool:
        return self.progress is not None or self.known != self.media.state


@require_safe
@permission_required("catalog.view_media", raise_exception=True)
def page(request: HttpRequest, id: int) -> HttpResponse:
    """For htmx, what has changed since: the page asks every two seconds while a step is not done."""
    return _answer(request, get_object_or_404(Product, pk=id))


@require_POST
@permission_required("catalog.add_media", raise_exception=True)
def add(request: HttpRequest, id: int) -> HttpResponse:
    product, form = get_object_or_404(Product, pk=id), UploadForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            upload.add(product.pk, form.cleaned_data["chosen"], request.user.pk or 0)
        except upload.TooMany:
            form.add_error("chosen", f"A product has up to {upload.MOST} pictures and clips. Delete some first.")
        except Product.DoesNotExist:
            raise Http404 from None
        except Away:
            form.add_error("chosen", "The storage does not answer. Nothing was added. Try again in a minute.")
        else:
            form = UploadForm()
    return _answer(request, product, form)


@require_POST
def act(request: HttpRequest, id: int, media: int) -> HttpResponse:
    """One verb for one row of this product."""
    name = request.POST.get("act", "")
    if name not in ACTS:
        raise Http404
    product = get_object_or_404(Product, pk=id)
    verb, permission = ACTS[name]
    return permission_required(permission, raise_exception=True)(_act)(request, product, media, verb)


def _act(request: HttpRequest, product: Product, media: int, verb: Any) -> HttpResponse:
    found = Media.objects.filter(pk=media, product=product).first()
    refused = verb(request, found) if found else None
    if found is None:
        messages.warning(request, GONE)
    return _answer(request, product, refused=refused)


def _save(request: HttpRequest, media: Media) -> DescriptionForm | None:
    form = DescriptionForm(request.POST, instance=media, prefix=str(media.pk))
    if not form.is_valid():
        return form
    upload.describe(media.pk, **form.cleaned_data)
    messages.success(request, "Saved.")
    return None


def _cancel(request: HttpRequest, media: Media) -> None:
    with transaction.atomic():
        if steps.cancel(media.pk):
            _note(request, "cancelled", media)


def _delete(request: HttpRequest, media: Media) -> None:
    with transaction.atomic():
        steps.remove(media.pk)
        _note(request, "deleted", media)


def _replace(request: HttpRequest, media: Media) -> None:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        messages.error(request, "Choose a file.")
        return
    try:
        if not upload.replace(media.pk, form.cleaned_data["chosen"][0], request.user.pk or 0):
            messages.warning(request, GONE)
    except Away:
        messages.error(request, "The storage does not answer. Try again in a minute.")


ACTS = {
    "save": (_save, "catalog.change_media"),
    "cancel": (_cancel, "catalog.change_media"),
    "replace": (_replace, "catalog.change_media"),
    "delete": (_delete, "catalog.delete_media"),
}


def _note(request: HttpRequest, verb: str, media: Media) -> None:
    """Who uploaded it, its row says."""
    audit_log.note(verb, f"{media} of {media.product.slug}", request.user.get_username())


def _answer(
    request: HttpRequest, product: Product, form: UploadForm | None = None, refused: DescriptionForm | None = None
) -> HttpResponse:
    """The page; for a form that was sent without JavaScript and is right, a redirect to it; for htmx the changes."""
    part = "HX-Request" in request.headers
    wrong = refused or (form if form and form.errors else None)
    if request.method == "POST" and not part and not wrong:
        return redirect("admin:catalog_product_media", product.pk)
    entries = request.GET.getlist("row") + request.POST.getlist("row")
    shown = {id: state for id, _, state in (entry.partition(":") for entry in entries)}
    found = list(product.media.all())
    progress = making.making(found)
    rows = [
        Row(
            media,
            progress.get(media.pk),
            refused if refused and refused.instance.pk == media.pk else _form(media),
            shown.pop(str(media.pk), None),
        )
        for media in found
    ]
    context = {
        **({} if part else admin.site.each_context(request)),
        "title": f"Pictures and clips of {product}",
        "opts": Product._meta,
        "product": product,
        "rows": rows,
        "gone": [id for id in shown if id.isdecimal()],
        "form": form or UploadForm(),
        "sent": form is not None,
        "refused": refused,
        "every": 2 if any(not one.failed for one in progress.values()) else 0,
        "scans": bool(settings.CLAMD_URL),
        "may": {verb: request.user.has_perm(f"catalog.{verb}_media") for verb in ("add", "change", "delete")},
        "part": part,
    }
    template = "_changes" if part else "page"
    return render(request, f"admin/catalog/media/{template}.html", context, status=422 if wrong and not part else 200)


def _form(media: Media) -> DescriptionForm:
    return DescriptionForm(instance=media, prefix=str(media.pk))
