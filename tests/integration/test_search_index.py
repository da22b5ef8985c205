"""The search index, the recommendations and the home page follow changes, and are rebuilt beside what is shown."""

import threading
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from backroom.ledger.models import Job, State
from catalog import home
from catalog.index import SearchEntry, SearchIndex
from catalog.models import (
    BoughtTogether,
    Category,
    HomePage,
    Import,
    ImportRow,
    LowStock,
    Media,
    Product,
    SupplierItem,
)
from catalog.search import index, refresh_many, spelling
from catalog.search.tasks import rebuild_search, refresh_product, warm_home
from catalog.seed import seed
from orders.fulfilment import recommendations
from orders.models import Order, Status
from orders.tasks import rebuild_recommendations
from tests.integration.paid_orders import again, attempted, job_of, paid_order, product
from tests.integration.sick_database import a_session_waits
from tests.waiting import until

pytestmark = pytest.mark.django_db


def found(client: Client, text: str) -> list[str]:
    return [each.slug for each in client.get("/products/", {"q": text}).context["page"]]


def suggested(client: Client, text: str) -> list[str]:
    answer = client.get("/products/suggest/", {"q": text})
    assert answer.status_code == 200
    return [each.slug for each in answer.context["products"]]


def waiting(task) -> list[str]:
    """The ids of a task's jobs that have not begun."""
    jobs = Job.objects.filter(task=task.name, state__in=[State.WAITING, State.READY])
    return [str(id) for id in jobs.values_list("pk", flat=True)]


# Changes


def test_edits_of_staff_wait_as_one_job_which_finds_the_product_by_its_new_name(client):
    figs = product("figs")
    staff = Client()
    staff.force_login(User.objects.create_superuser("staff"))
    form = {"slug": "figs", "category": figs.category_id, "price": "2", "vat_rate": "5", "unit": "kg", "stock": "3"}
    for name in "Black figs", "Dark figs", "Violet figs":
        answer = staff.post(f"/admin/catalog/product/{figs.pk}/change/", form | {"name": name, "active": "on"})
        assert answer.status_code == 302, answer.context["errors"]
    (id,) = waiting(refresh_product)
    assert found(client, "violet") == []
    assert attempted(id).state == State.SUCCEEDED
    assert found(client, "violet") == ["figs"]
    (id,) = waiting(warm_home)
    assert again(Job.objects.get(pk=id)).state == State.SUCCEEDED
    assert HomePage.objects.get().picks == [figs.pk]


def test_an_import_waits_as_a_job_for_each_chunk_of_its_products():
    refresh_many([*range(1_001, 0, -1), 7])
    jobs = Job.objects.filter(task="catalog.refresh_products").order_by("pk")
    assert [job.args["products"] for job in jobs] == [
        [*range(1, 501)], [*range(501, 1_001)], [1_001]
    ]  # fmt: skip
    assert attempted(str(jobs[0].pk)).state == State.SUCCEEDED, "unknown products are left out"
    refresh_many([])
    assert len(jobs.all()) == 3


def test_a_refresh_that_changes_nothing_writes_nothing():
    seed()
    with connection.cursor() as cursor:
        before = cursor.execute(PLACES).fetchall()
        index.write(list(Product.objects.values_list("pk", flat=True)))
        assert cursor.execute(PLACES).fetchall() == before


PLACES = "SELECT id, ctid::text FROM catalog_searchentry ORDER BY id"


# Rebuilds


@pytest.fixture
def steps(monkeypatch) -> list[index.Step]:
    """Those of a rebuild in a shop whose products have no entries yet, 20 products in each."""
    seed()
    SearchEntry.objects.all().delete()
    monkeypatch.setattr(index, "CHUNK", 20)
    return list(index._steps(None))


def test_a_rebuild_is_searched_once_it_is_whole_and_edits_meanwhile_are_in_both(client, steps):
    *copies, swap = steps
    index.write([Product.objects.get(slug="feta").pk])
    index._do(copies[0])
    assert (found(client, "feta"), found(client, "apples")) == (["feta"], [])
    Product.objects.filter(slug="garlic").update(also_called="stinking rose")
    index.write([Product.objects.get(slug="garlic").pk])
    assert found(client, "stinking") == ["garlic"]
    for step in copies[1:]:
        index._do(step)
    assert found(client, "apples") == []
    index._do(swap)
    assert (found(client, "apples"), found(client, "stinking")) == (["braeburn-apples"], ["garlic"])
    assert len(copies) == 3


@pytest.mark.django_db(transaction=True)
def test_a_rebuild_that_fails_in_a_step_goes_on_there_and_leaves_one_generation(monkeypatch):
    seed()
    monkeypatch.setattr(index, "CHUNK", 20)
    with connection.cursor() as cursor:
        cursor.execute(FAIL.format(id=sorted(Product.objects.values_list("pk", flat=True))[25]))
        try:
            job = attempted(rebuild_search.enqueue())
        finally:
            cursor.execute("DROP TRIGGER fail ON catalog_searchentry")
    assert (job.state, job.cursor["done"]) == (State.WAITING, 1)
    assert SearchEntry.objects.filter(generation=2).count() == 20
    job = again(job)
    assert (job.state, job.cursor["done"]) == (State.SUCCEEDED, 4)
    assert list(SearchIndex.objects.values_list("live", "building")) == [(2, None)]
    assert set(SearchEntry.objects.values_list("generation", flat=True)) == {2}
    assert SearchEntry.objects.count() == Product.objects.count()
    assert list(index._steps(job.cursor["at"])) == [], "a replay does not build anew"


FAIL = """
CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE 'as a crash does'; END $$;
CREATE TRIGGER fail BEFORE INSERT ON catalog_searchentry FOR EACH ROW
    WHEN (NEW.product_id = {id}) EXECUTE FUNCTION fail()
"""


def test_a_rebuild_that_was_overtaken_changes_nothing(client, steps):
    for step in index._steps(None):
        index._do(step)
    for step in steps:
        index._do(step)
    assert list(SearchIndex.objects.values_list("live", "building")) == [(3, None)]
    assert found(client, "apples") == ["braeburn-apples"]


def test_a_deleted_product_leaves_no_entry():
    seed()
    Product.objects.filter(slug="garlic").delete()
    assert SearchEntry.objects.count() == Product.objects.count() == 44


def test_a_release_that_knows_no_table_of_a_product_deletes_it_nevertheless():
    figs = product("figs")
    index.write([figs.pk])
    low = LowStock.objects.create(product=figs, stock=0)
    SupplierItem.objects.create(product=figs, delivered=1, price=1, version=1)
    Media.objects.create(product=figs)
    line = ImportRow.objects.create(of=Import.objects.create(), line=1, product=figs)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM catalog_product WHERE id = %s", [figs.pk])
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as at the commit
    line.refresh_from_db()
    assert (line.product_id, LowStock.objects.filter(pk=low.pk).count()) == (None, 0)
    tables = SearchEntry, SupplierItem, Media
    assert not any(table.objects.filter(product=figs.pk).exists() for table in tables)


# Suggestions


@pytest.mark.parametrize(
    ("typed", "slug"),
    [("oni", "red-onions"), ("RED ON", "red-onions"), ("jalapeño", "jalapenos"), ("creme", "creme-fraiche"),
     ("φέτ", "feta"), ("brocol", "broccoli"), ("appel", "braeburn-apples"), ("zuchini", "courgettes")],
)  # fmt: skip
def test_names_are_suggested_by_their_beginnings_and_in_spite_of_a_typing_error(client, typed, slug):
    seed()
    assert slug in suggested(client, typed)


@pytest.mark.parametrize("typed", ["", "t", " ", "%", "__", "\x00", "' or 1", "xyz", "👩‍🌾", "bicycle", "x" * 9_999])
def test_nothing_is_suggested_for_a_letter_or_for_what_no_name_has(client, typed):
    seed()
    assert suggested(client, typed) == []


def test_only_the_last_word_of_what_is_typed_is_corrected(client):
    seed()
    assert suggested(client, "braeburn appel") == ["braeburn-apples"]
    assert suggested(client, "breaburn apples") == []


def test_a_guess_that_takes_too_long_is_none(client, monkeypatch):
    seed()
    monkeypatch.setattr(spelling, "LONGEST", "10ms")
    monkeypatch.setattr(spelling, "CLOSEST", "SELECT pg_sleep(9), %s::text[], %s")
    assert suggested(client, "appel") == found(client, "appel") == []


def test_eight_names_are_suggested_the_most_bought_first_and_none_that_is_not_sold(client):
    fruit = Category.objects.create(slug="fruit", name="Fruit")
    names = [f"Plum {letter}" for letter in "abcdefghijkl"]
    for bought, name in enumerate(names):
        Product.objects.create(
            slug=name[-1], name=name, category=fruit, price=Decimal(1), taken=bought, active=name != "Plum l"
        )
    index.write(list(Product.objects.values_list("pk", flat=True)))
    assert suggested(client, "plum") == list("kjihgfed")


def test_suggestions_are_options_that_are_shown_as_text(client):
    product("figs")
    Product.objects.update(name="Figs <b>")
    index.write(list(Product.objects.values_list("pk", flat=True)))
    answer = client.get("/products/suggest/?q=figs").content.decode()
    assert 'role="option" id="suggestion-1" href="/products/figs/"' in answer
    assert "Figs &lt;b&gt;" in answer
    assert client.post("/products/suggest/").status_code == 405


# The home page


def test_the_home_page_is_chosen_in_advance_and_its_prices_and_stock_are_of_now(client):
    seed()
    chosen = [each.pk for each in client.get("/").context["picks"]]
    with transaction.atomic():
        home.warm()
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/")
    assert [each.pk for each in page.context["picks"]] == chosen
    assert not any("MD5" in each["sql"] or "COUNT" in each["sql"] for each in queries)
    Product.objects.filter(pk=chosen[0]).update(stock=0)
    Product.objects.filter(pk=chosen[1]).update(price="77.77")
    picks = client.get("/").context["picks"]
    assert ([each.pk for each in picks[:1]], picks[0].price, len(picks)) == ([chosen[1]], Decimal("77.77"), home.PICKS)


def test_a_category_that_staff_change_is_on_the_home_page_once_it_is_warmed(client):
    seed()
    staff = Client()
    staff.force_login(User.objects.create_superuser("staff"))
    pantry = Category.objects.get(slug="pantry")
    for position in "1", "2":
        form = {"slug": "pantry", "name": "Larder", "position": position}
        assert staff.post(f"/admin/catalog/category/{pantry.pk}/change/", form).status_code == 302
    Product.objects.filter(category=pantry).update(active=False)
    assert again(Job.objects.get(pk=waiting(warm_home)[0])).state == State.SUCCEEDED
    assert "pantry" not in [each["category"].slug for each in client.get("/").context["shelves"]]


# Recommendations


def pairs() -> dict[tuple[str, str], int]:
    return {(pair.product.slug, pair.other.slug): pair.count for pair in BoughtTogether.objects.all()}


def test_recommendations_are_counted_anew_without_cancelled_orders_and_keep_what_staff_entered():
    orders = [paid_order(*slugs) for slugs in (("apples", "pears"), ("apples", "pears"), ("apples", "plums"))]
    for order in orders:
        job_of("recommendations", order.number)
    Order.objects.filter(pk=orders[-1].pk).update(status=Status.CANCELLED)
    BoughtTogether.objects.filter(product__slug="pears").update(count=9)
    BoughtTogether.objects.filter(product__slug="apples", other__slug="pears").delete()
    BoughtTogether.objects.create(product=product("pears"), other=product("plums"), count=5)
    paid_order("pears", "plums")  # it is not counted yet
    assert attempted(rebuild_recommendations.enqueue()).state == State.SUCCEEDED
    together = {("apples", "pears"): 2, ("pears", "apples"): 2}
    assert pairs() == together | {("apples", "plums"): 0, ("plums", "apples"): 0, ("pears", "plums"): 0}


@pytest.mark.django_db(transaction=True)
def test_an_order_that_is_counted_during_a_rebuild_counts_once():
    job_of("recommendations", paid_order("apples", "pears").number)
    order = paid_order("apples", "pears")

    def rebuild() -> None:
        try:
            recommendations.rebuild()
        finally:
            connection.close()

    thread = threading.Thread(target=rebuild)
    with transaction.atomic():
        recommendations.learn_from(order.number)
        thread.start()
        until(a_session_waits, what="the rebuild waits for the order")
    thread.join()
    assert set(pairs().values()) == {2}
