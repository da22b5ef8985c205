"""A sold-out product: a customer asks, staff restock, and the mail comes."""

from collections.abc import Callable, Iterator

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from catalog.models import Category, Product
from marketing.models import StockAlert
from tests.browser.staff import PASSWORD, log_in
from tests.cluster import Cluster
from tests.integration.buying import effects
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

ADDRESS = "medlars@example.com"


@pytest.fixture(scope="module")
def medlars(house: Cluster) -> Iterator[Product]:
    """They are sold out. Of the module's scope, as what a test itself writes is never committed."""
    customer = User.objects.create_user("medlars", ADDRESS, PASSWORD)
    EmailAddress.objects.create(user=customer, email=ADDRESS, verified=True, primary=True)
    staff = User.objects.create_superuser("grocer", password=PASSWORD)
    medlars = Product.objects.create(
        slug="medlars", name="Medlars", price=3, unit="kg", category=Category.objects.get(slug="fruit")
    )
    yield medlars
    for row in medlars, customer, staff:  # the other tests count the products
        row.delete()


def test_who_asks_for_a_sold_out_product_is_mailed_once_staff_have_restocked_it(
    medlars: Product, open_page: Callable, page: Page
):
    page.goto("/products/medlars/")
    page.get_by_role("main").get_by_role("link", name="Sign in").click()
    page.get_by_label("Email").fill(ADDRESS)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Tell me when it is back").press("Enter")
    expect(page.get_by_role("main")).to_contain_text("We will tell you when it is back.")
    staff = open_page()
    staff.goto("/admin/catalog/product/?q=medlars")
    log_in(staff, "grocer")
    staff.locator("[name=form-0-stock]").fill("5")
    staff.get_by_role("button", name="Save").click()
    expect(staff.locator(".messagelist")).to_contain_text("1 product was changed")
    key = f"back_in_stock:{StockAlert.objects.get(product=medlars).pk}"
    assert until(lambda: effects(key=key), what="the mail") == {f"mail/back_in_stock {key}": 1}
    page.reload()
    expect(page.get_by_role("button", name="Add to cart")).to_be_visible()
