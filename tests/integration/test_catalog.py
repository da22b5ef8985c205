"""The product pages on a real PostgreSQL: search, paging, product pages, errors."""

import re
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.test import Client

from catalog import home
from catalog.models import BoughtTogether, Category, Product
from catalog.search import index
from catalog.search.query import search
from catalog.seed import seed

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelves() -> None:
    """The seeded products."""
    seed()


def found(text: str) -> list[str]:
    return [product.slug for product in search(Product.objects.filter(active=True), text)]


# Finding


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize(
    ("typed", "slug"),
    [
        ("tomatoes", "vine-tomatoes"),
        ("tom", "vine-tomatoes"),
        ("TOMATO", "vine-tomatoes"),
        ("red oni", "red-onions"),
        ("jalapeno", "jalapenos"),
        ("Jalapeño", "jalapenos"),
        ("creme fraiche", "creme-fraiche"),
        ("crème", "creme-fraiche"),
        ("oscypek", "oscypek"),
        ("φέτα", "feta"),
        ("feta", "feta"),
        ("zucchini", "courgettes"),
        ("cilantro", "coriander"),
        ("sourd", "sourdough"),
    ],
)
def test_a_product_is_found_by_its_name_its_other_names_and_their_beginnings(typed, slug):
    assert found(typed)[:1] == [slug]


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize(
    ("typed", "slug"),
    [
        ("aple", "braeburn-apples"),
        ("Avacado", "hass-avocados"),
        ("bananna", "bananas"),
        ("brocolli", "broccoli"),
        ("zuchini", "courgettes"),
        ("red onin", "red-onions"),
        ("appel", "braeburn-apples"),
        ("äpple", "braeburn-apples"),
        ("red oniom", "red-onions"),
        ("creme fresh", "creme-fraiche"),
    ],
)
def test_a_product_is_found_in_spite_of_a_typing_error_and_the_page_says_what_was_guessed(client, typed, slug):
    page = client.get("/products/", {"q": typed})
    assert slugs_on(page)[:1] == [slug]
    assert "No product matches this." in page.content.decode()
    assert page.context["guess"] != typed


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize("typed", ["parsley", "bicycle", "xyz", "whisky", "apple -apple", "te"])
def test_a_search_for_what_we_do_not_sell_finds_nothing(client, typed):
    page = client.get("/products/", {"q": typed})
    assert slugs_on(page) == []
    assert "No products found." in page.content.decode()


@pytest.mark.usefixtures("shelves")
def test_a_match_in_the_name_ranks_above_one_in_the_description():
    slugs = found("potatoes")
    assert set(slugs[:2]) == {"charlotte-potatoes", "sweet-potatoes"}
    assert "tote-bag" in slugs[2:]  # "carries twelve kilos of potatoes"


@pytest.mark.usefixtures("shelves")
def test_a_minus_leaves_out_and_or_widens():
    assert "sweet-potatoes" not in found("potatoes -sweet")
    assert {"basil", "garlic"} <= set(found("basil or garlic"))


def test_renaming_a_product_changes_what_finds_it(shelves):
    Product.objects.filter(slug="cucumber").update(name="Pickling gherkin", description="")
    index.write([Product.objects.get(slug="cucumber").pk])
    assert found("gherkin") == ["cucumber"]
    assert "cucumber" not in found("cucumber")


HOSTILE = [
    "'",
    "\\",
    "':*",
    "a & | ! b",
    "((",
    "<->",
    "%",
    "\x00",
    "\x00tom",
    "👩‍🌾",
    "x" * 10_000,
    "the",
    "-",
    "²",
    "a\u0301",
]


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize("typed", HOSTILE)
def test_no_search_breaks_the_page(client, typed):
    page = client.get("/products/", {"q": typed})
    assert page.status_code == 200
    assert b"product" in page.content


def test_a_search_is_shown_as_text(client, shelves):
    page = client.get("/products/", {"q": "<script>alert(1)</script>"}).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


# Shelves and pages


def slugs_on(page) -> list[str]:
    return [product.slug for product in page.context["page"]]


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize("search", ["", "sheep"])
def test_products_are_sorted_by_name_or_price_and_those_sold_out_are_left_out(client, search):
    def shown(**query: str) -> list[Product]:
        return list(client.get("/products/", {"q": search, **query}).context["page"])

    Product.objects.filter(slug="oscypek").update(stock=0)
    assert shown(sort="name") == sorted(shown(sort="name"), key=lambda product: product.name)
    prices = [product.price for product in shown(sort="price")]
    assert prices == sorted(prices)
    prices = [product.price for product in shown(sort="-price")]
    assert prices == sorted(prices, reverse=True)
    assert shown(sort="stock; --") == shown()
    in_pantry = {"category": "pantry"}
    assert "oscypek" in [product.slug for product in shown(**in_pantry)]
    assert "oscypek" not in [product.slug for product in shown(**in_pantry, in_stock="1")]
    assert "feta" in [product.slug for product in shown(**in_pantry, in_stock="1", sort="price")]


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize(
    ("address", "current"),
    [
        ("/", []),
        ("/products/", ["All products"]),
        ("/products/?category=pantry", ["Dairy &amp; pantry"]),
        ("/products/feta/", ["Dairy &amp; pantry"]),
        ("/cart/", []),
    ],
)
def test_the_menu_marks_the_current_category(client, address, current):
    menu = client.get(address).content.decode().partition('id="categories"')[2].partition("</nav>")[0]
    assert re.findall(r'aria-current="true">([^<]+)<', menu) == current


def test_paging_shows_every_product_once(client, shelves):
    seen = []
    address = "/products/"
    while address:
        page = client.get(address)
        assert len(slugs_on(page)) <= 12
        seen += slugs_on(page)
        following = re.search(r'rel="next" href="([^"]+)"', page.content.decode())
        address = f"/products/{following[1]}" if following else None
    assert sorted(seen) == sorted(Product.objects.values_list("slug", flat=True))


def test_turning_the_page_keeps_the_search_and_the_shelf(client, shelves):
    page = client.get("/products/", {"q": "a or of or and or the or with or for", "category": "fruit"})
    assert all(link.startswith("?q=") for link in re.findall(r'rel="next" href="([^"]+)"', page.content.decode()))


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize(
    ("number", "shown"),
    [("abc", 1), ("", 1), ("1.5", 1), ("\x00", 1), ("9" * 5_000, 1), ("9999", 4), ("-1", 4), ("0", 4), ("2", 2)],
)
def test_an_invalid_page_number_shows_the_first_or_last_page(client, number, shown):
    page = client.get("/products/", {"page": number})
    assert (page.status_code, page.context["page"].number) == (200, shown)


def test_a_shelf_shows_only_its_products(client, shelves):
    page = client.get("/products/", {"category": "kitchen"})
    assert set(slugs_on(page)) == {"tote-bag", "beeswax-candles", "wooden-spoon"}


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize("category", ["nope", "fruit\x00", "FRUIT", "1", "x" * 10_000])
def test_an_unknown_shelf_is_not_found(client, category):
    page = client.get("/products/", {"category": category})
    assert page.status_code == 404
    assert b"Page not found" in page.content


@pytest.mark.parametrize("address", ["/", "/products/", "/products/?q=tom"])
def test_a_shop_without_products_is_empty_not_broken(client, address):
    assert client.get(address).status_code == 200


@pytest.mark.parametrize("address", ["/", "/products/", "/products/?q=a+or+of", "/products/feta/"])
def test_a_page_takes_few_queries_however_much_it_shows(client, shelves, django_assert_max_num_queries, address):
    home.warm()
    with django_assert_max_num_queries(6):
        client.get(address)


# A product's page


def test_a_product_page_shows_price_unit_tax_and_stock(client, shelves):
    page = client.get("/products/feta/").content.decode()
    assert "Φέτα (feta)" in page
    assert "€4.60" in page
    assert "/ block" in page
    assert "5 % VAT included" in page
    assert "In stock" in page


def test_the_last_pieces_are_counted_and_none_is_not_sold(client, shelves):
    Product.objects.filter(slug="feta").update(stock=3)
    page = client.get("/products/feta/").content.decode()
    assert "Only 3 left" in page
    Product.objects.filter(slug="feta").update(stock=0)
    page = client.get("/products/feta/").content.decode()
    assert "Sold out" in page
    assert 'id="quantity"' not in page


@pytest.mark.parametrize(
    "address", ["/products/feta/", "/products/nothing/", "/products/%00/", f"/products/{'x' * 5_000}/"]
)
def test_an_inactive_or_unknown_product_is_not_found(client, shelves, address):
    Product.objects.filter(slug="feta").update(active=False)
    assert client.get(address).status_code == 404
    assert "feta" not in slugs_on(client.get("/products/", {"category": "pantry"}))


def test_the_most_frequent_pair_comes_first(client, shelves):
    feta = Product.objects.get(slug="feta")
    feta.bought_together.filter(other__slug="watermelon").update(count=9)
    BoughtTogether.objects.create(product=feta, other=Product.objects.get(slug="garlic"), count=4)
    Product.objects.filter(slug="cucumber").update(active=False)
    companions = [product.slug for product in client.get("/products/feta/").context["companions"]]
    assert companions[:2] == ["watermelon", "garlic"]
    assert len(companions) == 4
    assert "cucumber" not in companions


def test_the_page_of_a_product_without_a_drawing_shows_a_crate(client, shelves):
    Product.objects.create(
        slug="dragonfruit", name="Dragonfruit", category=Category.objects.get(slug="fruit"), price=Decimal(3), stock=1
    )
    assert b"crate" in client.get("/products/dragonfruit/").content


@pytest.mark.parametrize("address", ["/", "/products/", "/products/feta/"])
def test_product_pages_answer_get_and_head_only(shelves, address):
    client = Client(enforce_csrf_checks=False)
    assert client.head(address).status_code == 200
    assert client.post(address).status_code == 405


@pytest.mark.parametrize("address", ["/", "/products/?q=tom", "/products/feta/", "/cart/"])
def test_no_page_needs_inline_scripts_or_styles(client, shelves, address):
    page = client.get(address).content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


@pytest.mark.parametrize("turning", ["\u202e", "\u202b", "\u2067"])
def test_a_name_that_would_turn_a_page_around_is_refused_and_others_may_be_written_from_the_right(shelves, turning):
    feta = Product.objects.get(slug="feta")
    for field in "name", "unit":
        setattr(feta, field, f"a{turning}b")
        with pytest.raises(ValidationError) as refused:
            feta.full_clean()
        feta.refresh_from_db()
        assert refused.value.message_dict == {field: ["Leave out the invisible characters that turn text around."]}
    for invisible in "\u3164", "a\x00b":  # which also would not be on the invoice
        with pytest.raises(ValidationError):
            Product(name=invisible).clean_fields(exclude=["category", "price", "slug"])
    feta.name = "فيتا"
    feta.full_clean()


# Errors


@pytest.mark.parametrize("address", ["/nothing", "/products/nothing/", "/orders/7/"])
@pytest.mark.parametrize("debug", [False, True])
def test_an_unknown_address_shows_our_own_page_in_the_demo_too(client, settings, debug, address):
    settings.DEBUG = debug
    page = client.get(address)
    assert page.status_code == 404
    assert b"Page not found" in page.content
    assert b"URLconf" not in page.content


def test_the_error_page_needs_only_its_template():
    page = render_to_string("500.html")
    assert "before you order again" in page


def test_a_form_of_another_site_is_rejected_with_an_explanation(shelves):
    page = Client(enforce_csrf_checks=True).post("/cart/add/", {"product": "feta", "quantity": 1})
    assert page.status_code == 403
    assert b"This form has expired" in page.content
