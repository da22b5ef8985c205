"""What staff do with the pictures and clips of a product. A request stores bytes and writes rows and jobs. It decodes
nothing: what the bytes really are, the steps find out."""

from collections.abc import Sequence

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Max

from catalog.media import steps, storage
from catalog.media.models import Media

MOST = 24  # pictures and clips of a product


class TooMany(Exception):
    """The product would have more than MOST."""


def add(product: int, files: Sequence[UploadedFile], by: int) -> list[Media]:
    """Store the files, then write their rows behind the others, and enqueue their steps: all or none. Raises TooMany,
    and Away if the storage does not answer.

    Race: two people add at once. Two rows may have one position: the older comes first. And the product may have more
    than MOST, by one upload.
    """
    others = Media.objects.filter(product=product)
    if others.count() + len(files) > MOST:
        raise TooMany
    behind = (others.aggregate(last=Max("position"))["last"] or 0) + 1
    stored = [
        _stored(Media(product_id=product, uploaded_by_id=by, position=position), file)
        for position, file in enumerate(files, behind)
    ]
    with transaction.atomic():
        for media in stored:
            _insert(media)
    return stored


def replace(id: int, file: UploadedFile, by: int) -> Media | None:
    """Make another one in the place of a published one, which is shown until then. It takes the place of an earlier
    replacement that is not done. None: it was deleted. Raises Away."""
    old = Media.objects.get(pk=id)
    media = Media(product_id=old.product_id, uploaded_by_id=by, position=old.position, alt=old.alt, replaces=old)
    _stored(media, file)
    with transaction.atomic():
        if not Media.objects.select_for_update(no_key=True).filter(pk=id, state=Media.State.PUBLISHED).exists():
            return None  # Race: another replacement was just published. The file is an orphan.
        for earlier in Media.objects.filter(replaces=id):
            steps.remove(earlier.pk)
        _insert(media)
    return media


def _stored(media: Media, file: UploadedFile) -> Media:
    if (file.content_type or "").startswith("video/"):  # as the browser says; the first step finds out
        media.kind = Media.Kind.CLIP
    media.original = storage.save(media, storage.original(file.name or ""), file)
    return media


def _insert(media: Media) -> None:
    media.save(force_insert=True)
    steps.begin(media)
