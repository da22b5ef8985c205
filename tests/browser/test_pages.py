"""Every page of the shop: it fits a telephone, and it can be used by those who don't see it."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.page_rules import PAPER, mistakes, paper, too_wide
from tests.browser.shopping import heading, only_answers, put_in_cart, row
from tests.cluster import Cluster
from tests.integration.buying import fault

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

PAGES = [
    "/", "/products/", "/products/?q=feta", "/products/?q=nothing+like+it", "/products/vine-tomatoes/",
    "/accounts/login/", "/accounts/sign-up/", "/accounts/password/forgotten/",
]  # fmt: skip


@pytest.fixture
def order_page(house: Cluster) -> str:
    """The page of an order with a job that was given up: the fullest timeline."""
    fault("analytics", status=400)
    return house.order(name="Maximiliana-Theodora " * 4).json()["url"]


def every_page(page: Page, order_page: str) -> Iterator[str]:
    """Visit every page, the cart empty and filled, the form fresh and refused; yields their names."""
    for path in ["/cart/", *PAGES]:
        page.goto(path)
        yield path
    put_in_cart(page, "vine-tomatoes")
    yield "the cart"
    page.goto("/checkout/")
    yield "the checkout"
    page.get_by_role("button", name="Buy now").click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "the checkout with errors"
    page.goto("/orders/find/")
    yield "find my order"
    page.goto(f"{order_page}&whole=1")
    expect(row(page, "analytics")).to_have_attribute("data-state", "failed")
    yield "the order"


def test_no_page_is_wider_than_a_telephone_by_day_or_night(open_page: Callable, order_page: str, troubles: list[str]):
    page = open_page(viewport={"width": 390, "height": 844})
    for name in every_page(page, order_page):
        for scheme, colour in PAPER.items():
            page.emulate_media(color_scheme=scheme)
            assert (paper(page), too_wide(page)) == (colour, False), f"{name}, {scheme}"
    assert only_answers(troubles, 422)


def test_the_menu_of_a_telephone_starts_at_the_current_category(open_page: Callable):
    page = open_page(viewport={"width": 390, "height": 844})
    page.goto("/products/?category=kitchen")
    expect(page.locator("#categories [aria-current]")).to_be_in_viewport(ratio=1)


def test_every_page_can_be_used_by_those_who_do_not_see_it(page: Page, order_page: str, troubles: list[str]):
    for name in every_page(page, order_page):
        assert page.locator("html").get_attribute("lang") == "en", name
        expect(heading(page)).to_have_count(1)
        assert page.locator("main").count() == 1, name
        assert mistakes(page) == {}, name
    assert only_answers(troubles, 422)


def test_the_documentation_of_the_api_keeps_to_the_pages_policy(page: Page, house: Cluster):
    """A breach of the Content-Security-Policy is an error in the console, and fails any test of a page."""
    page.goto("/api/docs")
    expect(page.get_by_role("heading", name="Backroom", exact=False).first).to_be_visible()
    expect(page.get_by_text("/api/orders", exact=True).first).to_be_visible()
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_css("background-color", "rgb(28, 32, 34)")
    page.set_viewport_size({"width": 390, "height": 844})
    assert not too_wide(page)
