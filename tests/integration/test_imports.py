"""Imports of products: errors by row and column, each row once whatever dies, orders meanwhile, and the way back."""

import csv
import io
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from backroom.ledger.models import Batch, Job
from backroom.ops.models import AuditEntry
from backroom.testing import run_jobs
from catalog.imports import (
    applying,
    fields,
    opening,
    product_values,
    reading,
    requests,
    staging,
    states,
    tasks,
    undoing,
)
from catalog.imports.models import Import, ImportRow
from catalog.imports.progress import progress
from catalog.models import Product
from catalog.signals import restocked
from orders.cart import Cart, CartItem
from orders.exports import files
from orders.models import Export
from tests.integration.imports import ALL, applied, checked, fruit, table, undone, uploaded
from tests.integration.paid_orders import paid_order, product
from tests.integration.staff import staff

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _files_of_its_own(settings, tmp_path) -> None:
    fruit()
    own = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = settings.STORAGES | {"default": own}


def errors(made: Import) -> list[tuple]:
    return [(row.line, *error) for row in made.rows.order_by("line") for error in row.errors]


def values(slug: str) -> dict:
    return product_values.current(Product.objects.get(slug=slug))


def test_a_dry_run_lists_every_error_by_row_and_column_and_changes_nothing():
    product("apples")
    made = checked(
        table(
            "pears,Pears,Fruit,2.50,12",
            "apples,,Fruit,-1,many",
            "",
            "pears,Pears again,Fruit,3,1",
            "plums,Plums,Meat,1.10,5",
            "kiwis,,,,",
            "figs,Figs,Fruit,1.10,5,more",
        )
    )
    assert errors(made) == [
        (3, "price", "The price must be above 0."),
        (3, "stock", "Write a number, such as 2.50, not “many”."),
        (5, "slug", "Row 2 has this slug already."),
        (6, "category", "There is no category “Meat”."),
        (7, "name", "A new product needs it."),
        (7, "category", "A new product needs it."),
        (7, "price", "A new product needs it."),
        (8, "", "The row has more columns than the heading."),
    ]
    assert (made.state, made.options["checked"]) == ("checked", {"new": 1, "known": 0, "wrong": 5})
    assert Product.objects.count() == 1


def test_the_right_rows_are_applied_and_the_counts_say_what_became_of_them():
    for slug in ("apples", "plums"):
        product(slug)
    made = applied(table("apples,Apples,Fruit,9.90,7", "plums,Plums,Fruit,2.40,0", "pears,Pears,fruit,1.20,3", "x,,,,"))
    assert (made.state, made.options["applied"]) == ("applied", {"new": 1, "changed": 1, "same": 1, "wrong": 1})
    assert (values("apples")["price"], values("apples")["stock"], values("pears")["price"]) == ("9.90", 7, "1.20")
    assert made.rows.get(line=2).before == {"price": "2.40", "stock": 0}
    assert values("apples")["unit"] == "kg", "no column, no change"


@pytest.mark.parametrize("chunk", [2, 500])
def test_a_repeated_chunk_changes_nothing_and_no_row_is_applied_twice(chunk, monkeypatch):
    for module in (states, applying, requests):
        monkeypatch.setattr(module, "CHUNK", chunk)
    made = checked(table(*(f"p{number},P,Fruit,1,{number}" for number in range(5))))
    requests.apply(made.pk)
    (first, *_) = Job.objects.filter(task="catalog.apply_import").order_by("id")
    run_jobs(limit=1000)
    assert Batch.objects.get().succeeded == -(-5 // chunk)
    Product.objects.update(stock=F("stock") + 100)  # orders and deliveries since
    Import.objects.filter(pk=made.pk).update(state="applying")
    assert applying.apply_chunk(made.pk, first.args["line"]) == 0
    assert set(Product.objects.values_list("stock", flat=True)) == {100, 101, 102, 103, 104}


def test_a_chunk_that_dies_before_its_commit_leaves_nothing():
    made = checked(table("pears,Pears,Fruit,2.50,12"))
    requests.apply(made.pk)

    def dies() -> None:
        with transaction.atomic():
            assert applying.apply_chunk(made.pk, 2) == 1
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        dies()
    assert not Product.objects.exists()
    assert not ImportRow.objects.filter(done=True).exists()
    run_jobs()
    assert values("pears")["stock"] == 12


def test_a_dry_run_that_is_cut_off_goes_on_behind_the_rows_that_it_has_staged(monkeypatch):
    monkeypatch.setattr(staging, "STEP", 2)
    made = uploaded(table(*(f"p{number},P,Fruit,1,{number}" for number in range(7))))
    requests.read(made.pk, fields.guess(made.options["heading"]), made.options | {"dates": "dmy"})
    whole = staging._staged

    def dies(found, step, categories):
        if step[0][0] == 6:
            raise OSError("gone")
        return whole(found, step, categories)

    monkeypatch.setattr(staging, "_staged", dies)
    run_jobs(raising=False)
    assert list(made.rows.values_list("line", flat=True)) == [2, 3, 4, 5]
    assert progress(Import.objects.get(pk=made.pk))[:2] == (4, 7)
    monkeypatch.setattr(staging, "_staged", whole)
    Job.objects.filter(state="waiting", run_at__isnull=False).update(run_at=Now())
    run_jobs()
    made.refresh_from_db()
    assert list(made.rows.order_by("line").values_list("line", flat=True)) == list(range(2, 9))
    assert made.state == "checked"


def test_what_changed_since_the_dry_run_is_checked_again():
    apples = product("apples")
    made = checked(table("apples,3.00", "plums,2.00", heading="slug,was"))
    assert errors(made) == [
        (3, "Name", "A new product needs it."), (3, "Category", "A new product needs it."),
        (3, "Price", "A new product needs it."),
    ]  # fmt: skip
    Product.objects.filter(pk=apples.pk).update(price="3.50")
    requests.apply(made.pk)
    run_jobs()
    assert errors(made)[0] == (2, "was", "The price before the offer must be above the price.")
    assert Product.objects.get().was is None


def test_an_offer_that_an_import_changes_is_news_and_an_empty_cell_ends_it():
    product("apples")
    applied(table("apples,3.00", heading="slug,was"))
    assert Product.objects.get().offered_at is not None
    applied(table('apples,""', heading="slug,was"))
    assert Product.objects.get().was is None


def test_an_undo_gives_back_what_was_and_leaves_what_was_changed_or_used_since():
    for slug in ("apples", "plums", "figs"):
        product(slug)
    made = applied(
        table(
            "apples,Apples,Fruit,9.90,10",
            "plums,Plums,Fruit,9.90,10",
            "figs,Figs,Fruit,2.40,0",
            "pears,Pears,Fruit,1.20,3",
            "kiwis,Kiwis,Fruit,1.20,3",
            "dates,Dates,Fruit,1.20,3",
            "limes,Limes,Fruit,1.20,3",
        )
    )
    Product.objects.filter(slug="apples").update(stock=F("stock") + 2)  # a delivery
    Product.objects.filter(slug="plums").update(price="5.00")
    Product.objects.filter(slug="dates").update(description="From Tunisia")  # not in the file
    paid_order("kiwis")
    found = Product.objects.get(slug="limes")
    CartItem.objects.create(cart=Cart.objects.create(), product=found, quantity=1, seen=1)
    made = undone(made)
    assert (made.state, made.options["undone"]) == ("undone", {"left": 4})
    assert [line for line, *_ in errors(made)] == [3, 6, 7, 8]
    assert (values("apples")["price"], values("apples")["stock"]) == ("2.40", 2)
    assert (values("plums")["price"], values("plums")["stock"]) == ("5.00", 10)
    assert {*Product.objects.values_list("slug", flat=True)} == {"apples", "dates", "figs", "kiwis", "limes", "plums"}
    assert not requests.undo(made.pk)
    Import.objects.filter(pk=made.pk).update(state="undoing")
    assert undoing.undo_chunk(made.pk, 2) == 0, "a repeated one"
    assert values("apples")["stock"] == 2


def test_an_undo_waits_for_the_undo_of_a_later_import():
    product("apples")
    Product.objects.update(stock=10)
    first, second = (applied(table(f"apples,{stock}", heading="slug,stock")) for stock in (20, 100))
    assert not requests.undo(first.pk)
    chief = staff(*ALL)
    shown = chief.get(f"/admin/catalog/import/{first.pk}/page/?undo").content.decode()
    assert f"/admin/catalog/import/{second.pk}/page/" in shown
    assert 'value="undo"' not in shown
    Product.objects.update(stock=F("stock") - 3)  # an order
    undone(second)
    assert values("apples")["stock"] == 17
    undone(first)
    assert values("apples")["stock"] == 7


def test_an_undo_leaves_what_an_import_writes_that_begins_after_it():
    product("apples")
    first, second = (checked(table(f"apples,{stock}", heading="slug,stock")) for stock in (20, 100))
    requests.apply(first.pk)
    run_jobs()
    requests.undo(first.pk)
    requests.apply(second.pk)
    applying.apply_chunk(second.pk, 2)
    run_jobs()
    assert values("apples")["stock"] == 100


def test_an_undo_announces_what_can_be_bought_again_and_leaves_offers_as_old_as_they_were():
    began = timezone.now() - timedelta(days=9)
    apples = product("apples")
    Product.objects.update(stock=5, was="9.00", offered_at=began)
    made = applied(table('apples,0,""', heading="slug,stock,was"))
    sent = []
    receiver = lambda product_ids, **_: sent.extend(product_ids)  # noqa: E731
    restocked.connect(receiver)
    try:
        undone(made)
    finally:
        restocked.disconnect(receiver)
    assert sent == [apples.pk]
    assert Product.objects.get().offered_at == began


def test_a_cancel_in_the_middle_keeps_what_is_applied_which_can_be_undone(monkeypatch):
    monkeypatch.setattr(requests, "CHUNK", 2)
    monkeypatch.setattr(applying, "CHUNK", 2)
    made = checked(table(*(f"p{number},P,Fruit,1,{number}" for number in range(6))))
    requests.apply(made.pk)
    applying.apply_chunk(made.pk, 2)
    assert requests.cancel(made.pk)
    assert not requests.cancel(made.pk)
    run_jobs()
    assert applying.apply_chunk(made.pk, 4) == 0
    assert Product.objects.count() == 2
    assert not Job.objects.filter(key__startswith="import-").exclude(state__in=["succeeded", "cancelled"]).exists()
    assert undone(made).state == "undone"
    assert not Product.objects.exists()


def test_a_cancelled_dry_run_stages_no_more():
    made = uploaded(table("pears,Pears,Fruit,2.50,12"))
    requests.read(made.pk, fields.guess(made.options["heading"]), made.options | {"dates": "dmy"})
    assert requests.cancel(made.pk)
    tasks.stage_import.using(key="again").enqueue(made.pk)
    run_jobs()
    made.refresh_from_db()
    assert (made.state, made.rows.count()) == ("cancelled", 0)
    assert not requests.apply(made.pk)


@pytest.mark.django_db(transaction=True)
def test_orders_during_an_import_lose_no_piece_and_cause_no_deadlock():
    slugs = [f"p{number}" for number in range(8)]
    ids = [product(slug).pk for slug in slugs]
    Product.objects.update(stock=100)
    made = checked(table(*(f"{slug},P,Fruit,2.40,50" for slug in reversed(slugs))))
    requests.apply(made.pk)

    def order(_: int) -> None:
        with transaction.atomic():
            for id in ids:
                Product.objects.filter(pk=id, stock__gte=1).update(stock=F("stock") - 1, taken=F("taken") + 1)
        connection.close()

    def imported() -> None:
        with transaction.atomic():
            applying.apply_chunk(made.pk, 2)
        connection.close()

    with ThreadPoolExecutor(5) as pool:
        done = [pool.submit(order, number) for number in range(20)]
        done.insert(10, pool.submit(imported))
        for each in done:
            each.result()
    before = dict(made.rows.values_list("product__slug", "before__stock"))
    for found in Product.objects.all():  # what was sold before the import was in `before`, what after in the stock
        assert 100 - before[found.slug] + 50 - found.stock == found.taken == 20


def test_a_purge_deletes_old_files_and_rows_and_no_import_that_goes_on():
    old, going, young = (checked(table(f"p{number},P,Fruit,1,1")) for number in range(3))
    Import.objects.filter(pk__in=[old.pk, going.pk]).update(created_at=Now() - states.KEPT - timedelta(hours=1))
    Import.objects.filter(pk=going.pk).update(state="applying")
    assert states.purge() == 1
    assert not requests.apply(old.pk)
    assert [default_storage.exists(each.file) for each in (old, going, young)] == [False, True, True]
    assert [each.rows.count() for each in (old, going, young)] == [0, 1, 1]
    Import.objects.filter(pk=old.pk).update(state="applied")
    assert not requests.undo(old.pk)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_an_export_is_imported_again_without_a_change(form):
    apples = product("apples")
    words = {"name": "=Apples", "also_called": "-x, +y", "description": "@home\nÉire, 'tis", "was": "9.90", "stock": 7}
    Product.objects.filter(pk=apples.pk).update(**words, active=False)
    product("pears", price="1.05")
    user = User.objects.create_superuser("chief")
    export = Export(kind="products", form=form, user=user)
    files.start(export)
    export.refresh_from_db()
    files.make(export.pk)
    export.refresh_from_db()
    made = applied(default_storage.open(export.file).read())
    assert made.options["applied"] == {"new": 0, "changed": 0, "same": 2, "wrong": 0}, (errors(made), made.reason)
    assert made.columns.keys() == fields.FIELDS.keys()
    # As a look leaves it that dies once the sheet's CSV has the workbook's place
    Import.objects.filter(pk=made.pk).update(state="uploaded", options={"sheet": made.options["sheet"]})
    opening.look(made.pk)
    again = Import.objects.get(pk=made.pk).options
    assert {name: made.options[name] for name in ("heading", "rows", "sheet")}.items() <= again.items()


# Pages


def post(client: Client, made: Import, act: str, end: str = "act", **form: object):
    return client.post(f"/admin/catalog/import/{made.pk}/{end}/", {"act": act, **form}, follow=True)


def words(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))


def test_staff_upload_map_check_apply_and_undo_a_file():
    chief = staff(*ALL)
    content = "Code;Bezeichnung;Kategorie;Preis\npears;Birnen, süß;FRUIT;2,50\nplums;;;0\n".encode("cp1252")
    stored = chief.post("/admin/catalog/import/add/", {"file": SimpleUploadedFile("../../etc/passwd", content)})
    made = Import.objects.get()
    page = f"/admin/catalog/import/{made.pk}/page/"
    assert stored.headers["Location"] == page
    assert re.fullmatch(r"imports/[0-9a-f]{32}", made.file)
    assert "hx-get" in chief.get(page).content.decode()
    run_jobs()
    shown = chief.get(page)
    assert "Birnen, süß" in words(shown)
    assert "hx-get" not in shown.content.decode()
    bad = post(chief, made, "read", "columns", decimal=",", dates="dmy", slug="", name="1", price="1")
    assert bad.status_code == 422
    assert "Choose the column of the slugs" in words(bad)
    assert "has this column already" in words(bad)
    post(chief, made, "read", "columns", decimal=",", dates="dmy", slug="0", name="1", category="2", price="3")
    run_jobs()
    shown = words(chief.get(page))
    assert "1 new, 0 known, 1 with errors" in shown
    assert "3 Preis The price must be above 0." in shown
    assert 'value="apply"' not in chief.get(page).content.decode(), "it asks first"
    assert 'value="apply"' in chief.get(f"{page}?apply").content.decode()
    for _ in range(2):
        post(chief, made, "apply")
    run_jobs()
    assert "1 added, 0 changed, 0 as before, 1 left out" in words(chief.get(page))
    assert Product.objects.get().price == Decimal("2.50")
    post(chief, made, "undo")
    run_jobs()
    assert "Undone" in words(chief.get(page))
    assert not Product.objects.exists()
    assert list(AuditEntry.objects.order_by("id").values_list("verb", flat=True)) == ["applied", "undid"]


def test_the_columns_can_be_changed_after_a_dry_run_without_another_upload():
    chief, made = staff(*ALL), checked(table("pears,Pears,Fruit,2.50,12"))
    post(chief, made, "again", "columns")
    new, old = Import.objects.all()
    assert (new.state, new.file, old.state, old.file) == ("uploaded", made.file, "cancelled", "")
    assert "Check all rows" in words(chief.get(f"/admin/catalog/import/{new.pk}/page/"))
    post(chief, new, "reopen", "columns", encoding="cp1250", separator=";")
    run_jobs()
    new.refresh_from_db()
    assert (new.options["encoding"], len(new.options["heading"])) == ("cp1250", 1)


def test_an_encoding_chosen_during_a_look_is_looked_with_and_a_repeated_look_keeps_it(monkeypatch):
    made = uploaded(table("pears;Pears", heading="slug;name"))
    whole = reading.examine

    def slow(*args, **asked):
        monkeypatch.setattr(reading, "examine", whole)
        requests.reopen(made.pk, "cp1250", "|")
        return whole(*args, **asked)

    monkeypatch.setattr(reading, "examine", slow)
    opening.look(made.pk)
    for _ in range(2):
        opening.look(made.pk)
        made.refresh_from_db()
        assert (made.options["encoding"], made.options["separator"]) == ("cp1250", "|")


def test_long_rows_are_staged_in_smaller_steps(monkeypatch):
    monkeypatch.setattr(staging, "LARGEST", 100)
    made = checked(table(*(f"p{number},{'P' * 90},Fruit,1,1" for number in range(5))))
    assert (made.rows.count(), made.options["checked"]["new"]) == (5, 5)
    with states.stored(made.file) as stored:
        assert [len(step) for step in staging._steps(made, stored, None)] == [2, 2, 1]


def test_errors_are_downloaded_as_csv_without_formulas():
    made = checked(table('pears,Pears,"=HYPERLINK(""http://evil.example"")",2.50,12'))
    ImportRow.objects.filter(of=made).update(errors=[["=cmd", "+1"], ["price", "wrong"]])
    answer = staff("view_import").get(f"/admin/catalog/import/{made.pk}/errors.csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))
    assert rows == [["Row", "Column", "Error"], ["2", "'=cmd", "'+1"], ["2", "price", "wrong"]]


def test_each_page_and_act_needs_its_permission():
    made = checked(table("pears,Pears,Fruit,2.50,12"))
    pages = [f"/admin/catalog/import/{made.pk}/{end}" for end in ("page/", "errors.csv")]
    nothing, reader, loader, writer = staff(), staff("view_import"), staff("view_import", "add_import"), staff(*ALL[:4])
    assert [nothing.get(page).status_code for page in pages] == [403, 403]
    assert [reader.get(page).status_code for page in pages] == [200, 200]
    assert [Client().get(page).status_code for page in pages] == [302, 302]
    assert reader.get("/admin/catalog/import/add/").status_code == 403
    for client in (nothing, reader):
        assert post(client, made, "cancel").status_code == 403
        assert post(client, made, "again", "columns").status_code == 403
    assert post(loader, made, "apply").status_code == 403
    assert "Apply" not in words(loader.get(pages[0]))
    assert post(writer, made, "undo").status_code == 403
    assert post(writer, made, "explode").status_code == 404
    assert reader.get(f"/admin/catalog/import/{made.pk}/act/").status_code in (403, 405)
    assert reader.post(f"/admin/catalog/import/{made.pk}/delete/", {"post": "yes"}).status_code == 403
    made.refresh_from_db()
    assert made.state == "checked"


def test_an_upload_without_a_file_is_refused_beside_its_field():
    chief = staff(*ALL)
    assert "Choose a file." in words(chief.post("/admin/catalog/import/add/", {}))
    empty = chief.post("/admin/catalog/import/add/", {"file": SimpleUploadedFile("a.csv", b"")})
    assert (empty.status_code, Import.objects.count()) == (422, 0)


def test_an_upload_while_the_storage_is_away_says_so_beside_its_field(settings, tmp_path):
    (tmp_path / "imports").write_text("a file where the folder should be")
    answer = staff(*ALL).post(
        "/admin/catalog/import/add/", {"file": SimpleUploadedFile("a.csv", table("a,A,Fruit,1,1"))}
    )
    assert (answer.status_code, Import.objects.count()) == (422, 0)
    assert "The storage does not answer." in words(answer)


def test_a_file_that_is_no_table_is_refused_with_a_reason_and_leaves_no_dead_letter():
    made = uploaded(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    assert (made.state, Job.objects.filter(state="dead").count()) == ("refused", 0)
    assert "not a table" in words(staff(*ALL).get(f"/admin/catalog/import/{made.pk}/page/"))


current_app.loader.import_default_modules()  # as a worker does
