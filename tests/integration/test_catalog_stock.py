"""The seed, the constraints on products, and staff's changes while the shop sells."""

from decimal import Decimal
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client

from catalog.models import BoughtTogether, Category, Product
from catalog.seed import restock, seed

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelves() -> None:
    """The seeded products."""
    seed()


def test_seeding_twice_is_seeding_once(capsys):
    call_command("seed")
    before = list(Product.objects.values("pk", "slug", "stock", "price"))
    call_command("seed")
    assert list(Product.objects.values("pk", "slug", "stock", "price")) == before
    assert (Category.objects.count(), len(before)) == (6, 45)


def test_seeding_leaves_what_staff_changed(shelves):
    Product.objects.filter(slug="feta").update(price=Decimal("9.99"), name="Feta", active=False)
    Product.objects.filter(slug="garlic").delete()
    seed()
    assert Product.objects.filter(slug="feta", price=Decimal("9.99"), name="Feta", active=False).exists()
    assert not Product.objects.filter(slug="garlic").exists(), "each deploy seeds"


def test_restocking_fills_up_and_never_takes_away(shelves):
    Product.objects.filter(slug="feta").update(stock=1)
    Product.objects.filter(slug="garlic").update(stock=500)
    assert restock() == 1
    assert Product.objects.get(slug="feta").stock == 24
    assert Product.objects.get(slug="garlic").stock == 500


# Constraints


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize("change", [{"stock": -1}, {"price": 0}, {"price": -1}, {"vat_rate": 100}, {"vat_rate": -1}])
def test_the_database_rejects_invalid_numbers(change):
    with pytest.raises(DatabaseError), transaction.atomic():
        Product.objects.filter(slug="feta").update(**change)


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize(("one", "other"), [("feta", "feta"), ("feta", "watermelon")])
def test_a_pair_is_two_products_and_kept_once(one, other):
    products = Product.objects.in_bulk(field_name="slug")
    with pytest.raises(IntegrityError), transaction.atomic():
        BoughtTogether.objects.create(product=products[one], other=products[other])


# Staff


@pytest.fixture
def staff(client) -> Client:
    client.force_login(User.objects.create_superuser("staff"))
    return client


class Fields(HTMLParser):
    """The fields that a browser would send for an untouched page with one form."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self.text = self.choice = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        field = dict(attrs)
        if tag == "input" and field.get("type") not in ("submit", "search") and "name" in field:
            if field.get("type") != "checkbox" or "checked" in field:
                self.sent[field["name"]] = field.get("value", "on" if field.get("type") == "checkbox" else "")
        elif tag in ("select", "textarea"):
            self.choice, self.text = field["name"], ""
        elif tag == "option" and "selected" in field:
            self.sent[self.choice] = field["value"]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.sent[self.choice] = self.text.removeprefix("\n").removeprefix("\r\n")


def sent_back(page: str) -> dict[str, str]:
    fields = Fields()
    fields.feed(page)
    return {name: value for name, value in fields.sent.items() if name != "_selected_action"} | {"_save": "Save"}


@pytest.mark.parametrize("page", ["list", "product"])
def test_a_price_change_by_staff_keeps_the_stock_that_was_sold_meanwhile(staff, page):
    fruit = Category.objects.create(slug="fruit", name="Fruit")
    figs = Product.objects.create(slug="figs", name="Figs", category=fruit, price=Decimal(2), stock=10)
    address = "/admin/catalog/product/" + ("" if page == "list" else f"{figs.pk}/change/")
    prefix = "form-0-" if page == "list" else ""
    form = sent_back(staff.get(address).content.decode())
    Product.objects.filter(pk=figs.pk).update(stock=4)  # six are sold while the page is open
    answer = staff.post(address, form | {f"{prefix}price": "2.50"})
    assert answer.status_code == 302
    figs.refresh_from_db()
    assert (figs.price, figs.stock) == (Decimal("2.50"), 4)


def test_staff_can_count_the_stock_anew_in_the_list(staff):
    fruit = Category.objects.create(slug="fruit", name="Fruit")
    figs = Product.objects.create(slug="figs", name="Figs", category=fruit, price=Decimal(2), stock=10)
    form = sent_back(staff.get("/admin/catalog/product/").content.decode())
    assert staff.post("/admin/catalog/product/", form | {"form-0-stock": "7"}).status_code == 302
    figs.refresh_from_db()
    assert figs.stock == 7


def test_staff_make_an_offer_in_the_list_and_its_pages_show_both_prices(staff):
    fruit = Category.objects.create(slug="fruit", name="Fruit")
    figs = Product.objects.create(slug="figs", name="Figs", category=fruit, price=Decimal(2), stock=10)
    form = sent_back(staff.get("/admin/catalog/product/").content.decode())
    refused = staff.post("/admin/catalog/product/", form | {"form-0-was": "1.50"})
    assert "The price before the offer must be above the price." in refused.content.decode()
    assert staff.post("/admin/catalog/product/", form | {"form-0-was": "3.00"}).status_code == 302
    figs.refresh_from_db()
    assert (figs.was, figs.offered_at is None) == (Decimal(3), False)
    for page in (figs.get_absolute_url(), "/products/"):
        assert '<s><span class="unseen">Instead of </span>€3.00</s> <b>€2.00</b>' in staff.get(page).content.decode()


def test_staff_can_not_sell_a_product_in_another_currency_than_the_shops(staff):
    fruit = Category.objects.create(slug="fruit", name="Fruit")
    figs = Product.objects.create(slug="figs", name="Figs", category=fruit, price=Decimal(2), stock=10)
    address = f"/admin/catalog/product/{figs.pk}/change/"
    form = sent_back(staff.get(address).content.decode())
    assert staff.post(address, form | {"price": "3.00", "currency": "USD"}).status_code == 302
    with connection.cursor() as cursor:  # as a process of the release before may still do
        cursor.execute("UPDATE catalog_product SET currency = 'GBP'")
    assert "€3.00" in staff.get(figs.get_absolute_url()).content.decode()
    (item,) = staff.get("/api/products").json()["items"]
    assert (item["price"], item["currency"]) == ("3.00", "EUR")
