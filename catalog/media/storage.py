"""The files of pictures and clips, in the storage `media`: a folder, or a bucket by STORAGE_URL.

A file is written once, under a new name, `<product>/<random>-<what>`; a row then names it. So no reader sees half of
one, and no name is a person's. A file that no row names is an orphan: a process died between the two, or the product
is gone. The sweep deletes it once it is a day old.
"""

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, storages

from backroom import resumable
from backroom.outbound.errors import Away
from catalog import orphans
from catalog.media.models import Media

PAUSE = 30  # seconds that a job waits for a storage that does not answer
WHAT = re.compile(r"[a-z0-9]{1,20}\.[a-z0-9]{1,10}")
SUFFIX = re.compile(r"\.([a-z0-9]{1,10})\Z")


def original(uploaded: str) -> str:
    """What to call the file that a person uploaded under a name: `original.jpg`. Only a plain suffix is kept of it."""
    found = SUFFIX.search(uploaded.lower())
    return f"original.{found[1] if found else 'none'}"


def save(media: Media, what: str, content: bytes | File) -> str:
    """Write a file of this product's, such as "640.avif"; returns its name. The row may be unsaved. Raises Away, and
    ValueError for a name that is not ours.

    Limit: a folder's file is on the disk before this returns, as a power cut may follow the row's commit; of a bucket,
    the provider says so.
    """
    if not WHAT.fullmatch(what):
        raise ValueError(f"{what!r} is no name of a file of ours")
    store = storages["media"]
    with reached():
        file = ContentFile(content) if isinstance(content, bytes) else content
        name = store.save(f"{media.product_id}/{secrets.token_hex(8)}-{what}", file)
        if isinstance(store, FileSystemStorage):
            with store.open(name) as written:
                os.fsync(written.fileno())
    return name


@contextmanager
def opened(name: str) -> Iterator[File]:
    """The file, to be read in the block. Raises FileNotFoundError, and Away."""
    with reached(), storages["media"].open(name) as file:
        yield file


def read(name: str, most: int = -1) -> bytes:
    """The file's first `most` bytes, or all. Raises as `opened` does."""
    with opened(name) as file:
        return file.read(most)


def part(file: Any, start: int, end: int) -> bytes:
    """Bytes of an opened file. A bucket sends no others."""
    if isinstance(storages["media"], FileSystemStorage):
        file.seek(start)
        return file.read(end - start)
    return file.obj.get(Range=f"bytes={start}-{end - 1}")["Body"].read()


def delete(names: Iterable[str]) -> None:
    """Delete files, if they are there. Raises Away."""
    with reached():
        for name in names:
            storages["media"].delete(name)


@contextmanager
def reached() -> Iterator[None]:
    """Raises Away while the disk or the bucket does not work, as no job is to blame. What a repetition does not mend is
    an error like any other: a missing file, a lack of permission."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except ClientError as error:
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 500)
        if status < 500 and status != 429:
            raise
        raise Away(PAUSE, f"the bucket answers {status}") from error
    except (OSError, NoConnection, HTTPClientError) as error:
        raise Away(PAUSE, f"the storage does not work: {type(error).__name__}") from error


def names_of(media: Media) -> set[str]:
    """All files that a row names: the original, the published ones, and those that steps have made so far."""
    made = [file for step in media.made.values() for file in step["files"]]
    return {media.original, *(file["name"] for file in [*media.files, *made])} - {""}


def sweep(age: timedelta = orphans.YOUNG) -> int:
    """Delete the orphans, in a resumable job; returns how many this attempt found."""
    deleted = 0
    for folder in resumable(_folders, cursor=str):
        with reached():
            found = list(orphans.found(storages["media"], folder, partial(_named, folder), age))
        delete(found)
        deleted += len(found)
    return deleted


def _folders(after: str | None) -> list[str]:
    """A folder for each product, by name, behind the one of the cursor."""
    with reached(), suppress(FileNotFoundError):  # nothing was ever uploaded
        return sorted(name for name in storages["media"].listdir("")[0] if name.isdecimal() and name > (after or ""))
    return []


def _named(folder: str) -> set[str]:
    return set().union(*map(names_of, Media.objects.filter(product=int(folder))))
