"""A guest who makes an account afterwards has the order, and orders it again; then exports and deletes all of it."""

import json
from collections.abc import Callable

import pytest
import urllib3
from playwright.sync_api import Page, expect

from tests.browser.inbox import link_in
from tests.browser.page_rules import mistakes, too_wide
from tests.browser.shopping import CUSTOMER, PAID, heading, order_number, put_in_cart

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

EMAIL, PASSWORD = "latecomer@example.org", "seven green apples"


def bought_as_guest(page: Page) -> int:
    put_in_cart(page, "vine-tomatoes")
    page.get_by_role("link", name="Check out").click()
    for label, text in (CUSTOMER | {"Email": EMAIL.upper()}).items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_role("button", name="Buy now").click()
    expect(heading(page)).to_have_text(PAID)
    return order_number(page)


def sign_up(page: Page) -> None:
    page.goto("/accounts/sign-up/")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.goto(link_in("Confirm your email", EMAIL))
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button").filter(has_text="Confirm").click()
    expect(heading(page)).to_have_text("Your account")


def test_a_guests_order_is_in_the_account_made_afterwards_and_all_of_it_can_be_exported_and_deleted(
    open_page: Callable, partners_process: str
):
    page = open_page()
    number = bought_as_guest(page)
    sign_up(page)
    page.set_viewport_size({"width": 390, "height": 844})
    for path in (
        "/accounts/address/",
        "/accounts/data/",
        "/accounts/data/delete/",
        "/accounts/webhooks/",
        f"/orders/{number}/",
        "/accounts/orders/",
    ):
        page.goto(path)
        assert (too_wide(page), mistakes(page)) == (False, {}), path
    page.locator(f"#order-{number}").get_by_role("button", name="Order again").click()
    expect(page.get_by_label("Quantity of Tomatoes on the vine")).to_have_value("1")
    page.goto("/checkout/")
    assert page.evaluate("sessionStorage.getItem('checkout')") is None, "nothing for the next person at this tab"
    page.goto("/accounts/data/")
    page.get_by_role("button", name="Export my data").click()
    expect(page.get_by_text("We emailed you the link")).to_be_visible()
    with page.expect_download() as download:
        page.evaluate("link => { location = link }", link_in("Your data is ready", EMAIL))
    assert [order["number"] for order in json.loads(download.value.path().read_text())["orders"]] == [number]
    page.get_by_role("link", name="Delete my account").click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_text(f"Order {number}")).to_be_visible()  # its parcel has not left
    events = f"{partners_process}/warehouse/shipments/{number}/events"
    assert urllib3.request("POST", events, json={"type": "shipment.shipped"}).status < 300
    expect(heading(page)).to_have_text("Your account is deleted")
