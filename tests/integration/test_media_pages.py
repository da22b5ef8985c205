"""Pictures and clips on pages: staff upload, describe, replace and delete them; visitors get published files only."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from time import time

import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client

from backroom.ledger import sql
from backroom.ledger.models import Job
from backroom.ops.models import AuditEntry
from catalog.media import gallery, steps, storage, temporary, upload
from catalog.media.models import Media
from catalog.models import BoughtTogether, Product
from tests.integration.buying import product
from tests.integration.staff import customer, staff
from tests.waiting import until

pytestmark = pytest.mark.django_db
State = Media.State
BIG = {"CONTENT_LENGTH": str(100 * 1024 * 1024), "CONTENT_TYPE": "multipart/form-data; boundary=x"}


@pytest.fixture
def editor() -> Client:
    return staff("view_media", "add_media", "change_media", "delete_media")


def path(apples: Product, tail: str = "") -> str:
    return f"/admin/catalog/product/{apples.pk}/media/{tail}"


def act(client: Client, media: Media, name: str, /, **fields: object):
    return client.post(path(media.product, f"{media.pk}/act/"), {"act": name} | fields)


def file(name: str = "apples.JPG", content: bytes = b"no picture at all", type: str = "image/jpeg"):
    return SimpleUploadedFile(name, content, type)


def published(apples: Product, kind: str = "picture", **fields: object) -> Media:
    """As the steps leave it."""
    media = Media(product=apples, kind=kind, state=State.PUBLISHED, width=1280, height=960, colour="#aa0011", **fields)
    media.placeholder = "data:image/webp;base64,UklGRg=="
    types = ["jpeg", "mp4"] if kind == "clip" else ["avif", "webp", "jpeg"]
    for suffix in types:
        for width in (320, 640):
            name = storage.save(media, f"{width}.{suffix}", b"x" * 1000)
            type = "video/mp4" if suffix == "mp4" else f"image/{suffix}"
            media.files.append({"type": type, "width": width, "height": width * 3 // 4, "name": name})
    media.save()
    return media


# The way in


class Unread:
    def read(self, *size: int) -> bytes:
        raise AssertionError("the body was read")

    readline = read


def test_only_staff_with_the_views_permission_upload_and_a_refused_body_is_not_read():
    apples = product()
    address = path(apples, "add/")
    for client in (Client(), customer(), staff("view_media", "change_media", "add_import")):
        assert client.generic("POST", address, **BIG, **{"wsgi.input": Unread()}).status_code == 413
    too_big = BIG | {"CONTENT_LENGTH": str(2**30)}
    assert staff("add_media").generic("POST", address, **too_big, **{"wsgi.input": Unread()}).status_code == 413
    for elsewhere in ("/cart/add/", "/ops/act/", "/staff/enrol/", "/admin/", "/admin/catalog/nowhere/", path(apples)):
        assert staff("add_media").generic("POST", elsewhere, **BIG, **{"wsgi.input": Unread()}).status_code == 413


def test_an_upload_is_stored_and_enqueued_and_nothing_of_it_is_decoded(editor):
    apples = product()
    large = file("../../clip.mp4", b"y" * 3_000_000, "video/mp4")  # by the disk, not by memory
    answer = editor.post(path(apples, "add/"), {"chosen": [file(), large]})
    assert (answer.status_code, answer["Location"]) == (302, path(apples))
    picture, clip = Media.objects.all()
    assert [picture.kind, clip.kind] == ["picture", "clip"]
    assert [picture.state, picture.position, clip.position] == [State.WAITING, 1, 2]
    assert re.fullmatch(rf"{apples.pk}/[0-9a-f]{{16}}-original\.jpg", picture.original)
    assert re.fullmatch(rf"{apples.pk}/[0-9a-f]{{16}}-original\.mp4", clip.original)
    assert storage.read(clip.original) == b"y" * 3_000_000
    assert set(Job.objects.values_list("key", flat=True)) == {*steps.keys(picture), *steps.keys(clip)}
    assert picture.uploaded_by.username.startswith("view_media")
    assert not list(temporary.folder().iterdir())


def test_a_wrong_upload_is_explained_beside_its_field_and_adds_nothing(editor, monkeypatch):
    apples = product()
    for files, words in (([], "Choose one file or more."), ([file(content=b"")], "A file is empty.")):
        answer = editor.post(path(apples, "add/"), {"chosen": files})
        assert (answer.status_code, words in answer.content.decode()) == (422, True)
    monkeypatch.setattr(upload, "MOST", 1)
    assert editor.post(path(apples, "add/"), {"chosen": [file(), file()]}).status_code == 422
    assert not Media.objects.exists()


@pytest.mark.parametrize(
    ("name", "needed"), [("save", "change_media"), ("cancel", "change_media"), ("delete", "delete_media")]
)
def test_each_verb_has_its_permission_and_knows_its_products_rows_only(name, needed):
    apples, pears = product(), product("pears")
    media = published(apples)
    assert act(staff("view_media", "add_media"), media, name).status_code == 403
    other = Media(pk=media.pk, product=pears)
    answer = act(staff("view_media", needed), other, name, **{f"{media.pk}-position": 7})
    assert answer.status_code == 302
    media.refresh_from_db()
    assert (media.state, media.position) == (State.PUBLISHED, 0)
    for forbidden in (path(apples), path(apples, "add/")):
        assert Client().get(forbidden).status_code == 302
        assert customer().post(forbidden).status_code == 302
        assert staff().post(forbidden).status_code in (403, 405)


def test_staff_describe_and_order_and_a_wrong_field_is_explained(editor):
    media = published(product())
    fields = {f"{media.pk}-position": "3", f"{media.pk}-alt": "A red apple"}
    act(editor, media, "save", **fields)
    media.refresh_from_db()
    assert (media.position, media.alt, media.state) == (3, "A red apple", State.PUBLISHED)
    answer = act(editor, media, "save", **fields | {f"{media.pk}-position": "-1"})
    assert answer.status_code == 422
    assert "greater than or equal to 0" in answer.content.decode()


def test_a_replacement_leaves_the_old_one_in_place_and_the_latest_wins(editor):
    old = published(product(), position=4, alt="A red apple")
    act(editor, old, "replace", chosen=file())
    first = Media.objects.get(replaces=old)
    act(editor, old, "replace", chosen=file())
    second = Media.objects.get(replaces=old)
    assert second.pk != first.pk
    assert (second.position, second.alt, second.state) == (4, "A red apple", State.WAITING)
    old.refresh_from_db()
    assert old.state == State.PUBLISHED
    assert not Job.objects.filter(key__in=steps.keys(first)).exclude(state="cancelled").exists()


def test_what_staff_write_of_a_shown_one_holds_for_its_replacement(editor):
    old = published(product(), alt="A red apple")
    act(editor, old, "replace", chosen=file())
    new = Media.objects.get(replaces=old)
    act(editor, old, "save", **{f"{old.pk}-position": "3", f"{old.pk}-alt": "A green apple"})
    Media.objects.filter(pk=new.pk).update(made={step: {"files": []} for step in steps.STEPS["picture"]})
    steps.publish(new.pk)
    shown = Media.objects.get()
    assert (shown.pk, shown.state, shown.position, shown.alt) == (new.pk, State.PUBLISHED, 3, "A green apple")


def test_a_replacement_of_what_is_no_longer_shown_says_so(editor):
    waiting = Media.objects.create(product=product())
    page = editor.post(
        path(waiting.product, f"{waiting.pk}/act/"), {"act": "replace", "chosen": file()}, follow=True
    ).content.decode()
    assert "It was deleted, or replaced." in page
    assert upload.replace(waiting.pk + 1, file(), 0) is None


@pytest.mark.django_db(transaction=True)
def test_a_second_replacement_and_the_publication_of_the_first_never_deadlock():
    old = published(product())
    new = upload.replace(old.pk, file(), None)
    Media.objects.filter(pk=new.pk).update(made={step: {"files": []} for step in steps.STEPS["picture"]})
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Media.objects.select_for_update(no_key=True).get(pk=old.pk)  # as a second replacement begins
        publishing = pool.submit(_publish, new.pk)
        until(
            lambda: sql.rows("SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")
        )
        steps.remove(new.pk)
    assert publishing.result() == "nothing to do"


def _publish(id: int) -> str:
    try:
        return steps.publish(id)
    finally:
        connection.close()


def test_an_upload_behind_the_last_position_and_to_a_deleted_product_is_no_error(editor, monkeypatch):
    apples = product()
    published(apples, position=upload.LAST)
    assert editor.post(path(apples, "add/"), {"chosen": [file()]}).status_code == 302
    assert Media.objects.get(state=State.WAITING).position == upload.LAST

    def save(media: Media, *file: object) -> str:
        Product.objects.filter(pk=apples.pk).delete()  # meanwhile
        return "a name"

    monkeypatch.setattr(storage, "save", save)
    assert editor.post(path(apples, "add/"), {"chosen": [file()]}).status_code == 404


def test_cancel_and_delete_end_the_steps(editor):
    apples = product()
    editor.post(path(apples, "add/"), {"chosen": [file(), file()]})
    first, second = Media.objects.all()
    act(editor, first, "cancel")
    act(editor, second, "delete")
    assert [(media.pk, media.state) for media in Media.objects.all()] == [(first.pk, State.CANCELLED)]
    assert not Job.objects.filter(key__startswith="media-").exclude(state="cancelled").exists()
    assert set(AuditEntry.objects.values_list("verb", flat=True)) == {"cancelled", "deleted"}


def test_an_answer_to_htmx_changes_only_the_rows_that_are_no_longer_as_shown(editor):
    apples = product()
    shown, gone = published(apples), published(apples).pk
    steps.remove(gone)
    editor.post(path(apples, "add/"), {"chosen": [file()]})
    waiting = Media.objects.get(state=State.WAITING)
    rows = [f"{shown.pk}:published", f"{gone}:published", "nonsense", f"{waiting.pk}:waiting"]
    changes = editor.get(path(apples), {"row": rows}, headers={"HX-Request": "true"}).content.decode()
    assert f'<li id="media-{gone}" hx-swap-oob="delete">' in changes
    assert f'id="now-{waiting.pk}"' in changes
    assert "Checking the file" in changes
    assert "every 2s" in changes
    assert f'id="now-{shown.pk}"' not in changes
    assert "description-" not in changes  # what is typed there stays
    new = editor.get(path(apples), {"row": rows[:1]}, headers={"HX-Request": "true"}).content.decode()
    assert 'hx-swap-oob="beforeend:#media"' in new


def test_unfinished_files_of_killed_processes_are_swept_after_a_day():
    old, new = temporary.folder() / "old.upload", temporary.folder() / "new.upload"
    for left in (old, new):
        left.write_bytes(b"half a clip")
    (temporary.folder() / "work").mkdir()
    for left in (old, temporary.folder() / "work"):
        os.utime(left, (time() - 90_000,) * 2)
    assert temporary.sweep() == 2
    assert list(temporary.folder().iterdir()) == [new]
    new.unlink()


# The way out


def test_a_published_file_is_served_whole_or_in_parts_for_good():
    media = published(product(), "clip")
    address = gallery.url(gallery.files(media, "video/mp4")[0]["name"])
    whole = Client().get(address)
    assert (whole.status_code, whole["Content-Type"], whole["Content-Length"]) == (200, "video/mp4", "1000")
    assert b"".join(whole.streaming_content) == b"x" * 1000
    assert whole["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (whole["X-Content-Type-Options"], whole["Accept-Ranges"]) == ("nosniff", "bytes")
    assert "Cookie" not in whole.get("Vary", "")
    parts = {"bytes=0-": (206, "bytes 0-999/1000"), "bytes=990-2000": (206, "bytes 990-999/1000")}
    parts |= {"bytes=1000-": (416, "bytes */1000"), "bytes=5-4": (416, "bytes */1000")}
    for asked, (status, sent) in parts.items():
        part = Client().get(address, headers={"Range": asked})
        assert (part.status_code, part["Content-Range"]) == (status, sent)
    for ignored in ("bytes=-5", "bytes=0-1,3-4", "lines=1-2", "bytes=" + "9" * 5000 + "-"):
        assert Client().get(address, headers={"Range": ignored}).status_code == 200
    assert Client().head(address).status_code == 200
    assert Client().post(address).status_code == 405


def test_a_part_is_never_more_than_the_kernel_takes_at_once():
    media = Media(product=product())
    name = storage.save(media, "large.mp4", b"z" * 500_000)
    part = Client().get(gallery.url(name), headers={"Range": "bytes=0-"})
    assert part["Content-Range"] == "bytes 0-393215/500000"
    assert len(part.content) == 393_216


def test_no_original_and_nothing_else_on_the_disk_is_served():
    media = Media(product=product())
    original = storage.save(media, "original.jpeg", b"with its metadata")
    assert storages["media"].exists(original)
    random = "0123456789abcdef"
    for name in (
        original, f"1/{random}-640.jpeg", f"1/{random}-640.html", "../env", "..%2f..%2fenv", "%00", "1/x.jpeg", "",
        f"1/..%2f1/{random}-640.jpeg", f"\u0661/{random}-640.jpeg",
    ):  # fmt: skip
        assert Client().get(f"/media/{name}").status_code == 404, name


def test_pages_show_a_products_first_picture_and_drawings_where_there_is_none(client, django_assert_max_num_queries):
    apples, pears = product(), product("pears")
    published(apples, position=2)
    first = published(apples, position=1, alt="A red apple")
    published(apples, "clip", position=0)
    Media.objects.create(product=pears, state=State.WAITING)
    BoughtTogether.objects.create(product=pears, other=apples, count=1)
    client.post("/cart/add/", {"product": "apples", "quantity": 1})
    small = gallery.url(gallery.files(first, "image/avif")[0]["name"])
    for address in ("/", "/products/", "/products/pears/", "/cart/"):
        with django_assert_max_num_queries(12):
            shown = client.get(address).content.decode()
        assert shown.count("<picture>") == 1, address
        assert f'<source type="image/avif" srcset="{small} 320w, ' in shown, address
        assert 'width="1280" height="960" decoding="async" loading="lazy"' in shown, address
    own = client.get("/products/apples/").content.decode()
    assert own.count("<picture>") == 2 + 3  # and the thumbnails
    assert own.count("fetchpriority") == 0  # a clip comes first
    assert 'alt="A red apple"' in own
    assert '<video controls playsinline preload="none" poster=' in own
    assert own.count('type="video/mp4"') == 2
    assert "style=" not in own
    assert "drawn" not in own
    assert "drawn" in client.get("/products/pears/").content.decode()
