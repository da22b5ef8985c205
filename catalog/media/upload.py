"""What staff do with the pictures and clips of a product. A request stores bytes and writes rows and jobs. It decodes
nothing: what the bytes really are, the steps find out."""

from collections.abc import Sequence

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Max

from catalog.media import steps, storage
from catalog.media.models import Media
from catalog.models import Product

MOST = 24  # pictures and clips of a product
LAST = 32767  # the position column's largest value


class TooMany(Exception):
    """The product would have more than MOST."""


def add(product: int, files: Sequence[UploadedFile], by: int) -> list[Media]:
    """Store the files, then write their rows behind the others, and enqueue their steps: all or none. Raises TooMany,
    Product.DoesNotExist, and Away if the storage does not answer.

    Race: two people add at once. The product may have more than MOST, by one upload.
    """
    others = Media.objects.filter(product=product)
    if others.count() + len(files) > MOST:
        raise TooMany
    stored = [_stored(Media(product_id=product, uploaded_by_id=by), file) for file in files]
    with transaction.atomic():
        Product.objects.select_for_update(no_key=True).get(pk=product)  # Race: it was deleted during the upload.
        behind = (others.aggregate(last=Max("position"))["last"] or 0) + 1
        for position, media in enumerate(stored, behind):
            media.position = min(position, LAST)
            _insert(media)
    return stored


def replace(id: int, file: UploadedFile, by: int) -> Media | None:
    """Make another one in the place of a published one, which is shown until then. It takes the place of an earlier
    replacement that is not done. None: no published one has this id. Raises Away."""
    shown = Media.objects.filter(pk=id, state=Media.State.PUBLISHED)
    if not (old := shown.first()):
        return None
    media = _stored(Media(product_id=old.product_id, uploaded_by_id=by, replaces=old), file)
    with transaction.atomic():
        if not (old := shown.select_for_update(no_key=True).first()):
            return None  # Race: it was deleted, or replaced, during the upload. The file is an orphan.
        for earlier in Media.objects.filter(replaces=id):
            steps.remove(earlier.pk)
        media.position, media.alt = old.position, old.alt
        _insert(media)
    return media


def describe(id: int, **columns: object) -> None:
    """Write its position and description, and those of its replacement. Race: either is published now. These columns
    alone are written."""
    with transaction.atomic():
        Media.objects.filter(pk=id).update(**columns)  # the shown one first, as `publish` locks them
        Media.objects.filter(replaces=id).update(**columns)


def _stored(media: Media, file: UploadedFile) -> Media:
    if (file.content_type or "").startswith("video/"):  # as the browser says; the first step finds out
        media.kind = Media.Kind.CLIP
    media.original = storage.save(media, storage.original(file.name or ""), file)
    return media


def _insert(media: Media) -> None:
    media.save(force_insert=True)
    steps.begin(media)
