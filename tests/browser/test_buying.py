"""A purchase from the home page to the last green row, however the customer's hands and browser work."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.keyboard import press, tab_to
from tests.browser.shopping import (
    CUSTOMER,
    OWN,
    PAID,
    check_out,
    download_invoice,
    expect_all_green,
    heading,
    order_number,
    row,
    show_whole_back_room,
)
from tests.integration.buying import effects, fault

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


def test_bought_by_mouse_and_the_timeline_ends_in_all_green_without_a_reload(page: Page):
    fault("analytics", status=503)  # so that the page is there before its last row is done
    page.goto("/")
    page.get_by_role("navigation", name="Categories").get_by_role("link", name="Vegetables").click()
    expect(heading(page)).to_have_text("Vegetables")
    page.get_by_role("combobox", name="Search products").click()
    page.keyboard.type("tomatos")  # misspelt, as people do
    page.get_by_role("option", name="Tomatoes on the vine").click()
    page.get_by_role("button", name="Add to cart").click()
    page.locator("#cart-link").click()
    check_out(page)
    expect(heading(page)).to_have_text(PAID)
    page.evaluate("window.notReloaded = true")
    expect(row(page, "analytics")).to_have_count(0)
    show_whole_back_room(page)
    expect(row(page, "analytics")).not_to_have_attribute("data-state", "done")
    fault("analytics")
    expect_all_green(page)
    assert page.evaluate("window.notReloaded")
    expect(page.locator("#news")).to_contain_text("done")  # a screen reader reads this line out
    assert download_invoice(page, Locator.click).startswith(b"%PDF")
    done = effects(order=str(order_number(page)))
    assert len(done) == 6, done
    assert set(done.values()) == {1}, done
    waited = re.search(r"You had your answer ([\d.]+) (m?s) after your click", page.locator("#verdict").inner_text())
    assert waited, page.locator("#verdict").inner_text()
    answered = page.evaluate("performance.getEntriesByType('navigation')[0].responseStart")
    assert float(waited[1]) * (1000 if waited[2] == "s" else 1) + 50 > answered, "the customer waited for the answer"
    page.reload()
    expect(page.locator("#took")).to_contain_text("our server took")  # now nothing is known of the click
    expect(page.locator("#waited")).to_be_hidden()


def test_a_typed_quantity_is_what_the_cart_and_the_checkout_have(page: Page):
    page.goto("/products/?category=fruit")
    page.locator(".card .add").first.click()
    expect(page.locator("#cart-link")).to_contain_text("1")
    page.goto("/cart/")
    page.get_by_label("Quantity of").fill("5")
    page.keyboard.press("Tab")  # to the button that adds one
    expect(page.locator("#cart-link")).to_contain_text("5")
    expect(page.get_by_label("Quantity of")).to_have_value("5")
    page.get_by_label("Quantity of").fill("7")
    page.locator("#check-out").click()
    page.wait_for_url("**/checkout/")
    expect(page.locator(".slip")).to_contain_text("7 \N{MULTIPLICATION SIGN}")


def test_eight_quick_adds_of_a_new_visitor_are_all_in_the_cart(page: Page):
    """Their session begins with the first answer: the page sends one after another."""
    page.goto("/products/?category=fruit")
    for index in range(8):
        page.locator(".card .add").nth(index % 4).click()
    expect(page.locator("#cart-link")).to_contain_text("8 items")


def test_bought_by_keyboard_with_the_focus_in_sight_and_kept(page: Page):
    page.goto("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    press(page, page.get_by_role("link", name="Browse the shelves"))
    page.keyboard.press("Tab")
    tab_to(page, page.get_by_role("combobox", name="Search products"))
    page.keyboard.type("carrots")
    suggestion = page.get_by_role("option", name="Carrots with tops")
    expect(suggestion).to_be_visible()
    page.keyboard.press("Escape")
    expect(suggestion).to_have_count(0)
    page.keyboard.press("Backspace")
    expect(suggestion).to_have_attribute("aria-selected", "false")
    page.keyboard.press("ArrowDown")
    expect(suggestion).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Quantity"))
    page.keyboard.type("2")  # in the place of the 1, which a Tab selects
    press(page, page.get_by_role("button", name="Add to cart"), "Space")
    more = page.get_by_role("button", name="one Carrots with tops more")
    tab_to(page, more)
    for _ in range(3):
        page.keyboard.press("Space")
    expect(page.locator("#cart-link")).to_contain_text("5 items")
    expect(more).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    expect(page.locator("#cart-link")).to_contain_text("3 items")
    press(page, page.get_by_role("link", name="Check out"))
    for label, text in CUSTOMER.items():
        tab_to(page, page.get_by_label(label, exact=True))
        page.keyboard.type(text)
    tab_to(page, page.get_by_label("Country"))
    page.keyboard.type("Pol")
    expect(page.locator("#sums")).to_contain_text("Delivery to Poland")
    tab_to(page, page.get_by_role("radio", name="approve"))
    press(page, page.get_by_role("button", name="Buy now"))
    expect(heading(page)).to_have_text(PAID)
    expect(page.locator("address")).to_contain_text("Poland")
    expect_all_green(page, OWN)
    expect(row(page, "loyalty")).to_contain_text("points for this order")
    invoice = download_invoice(page, lambda link: press(page, link))
    assert invoice.startswith(b"%PDF")


def test_bought_without_javascript_on_a_page_that_reloads_itself_until_all_is_green(open_page):
    page = open_page(java_script_enabled=False)
    fault("analytics", status=503)
    page.goto("/")
    page.get_by_role("searchbox").fill("beetroot")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(heading(page)).to_have_text("“beetroot”")
    page.get_by_role("main").get_by_role("link").filter(has=page.locator("h3")).first.click()
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_role("spinbutton").fill("3")
    page.get_by_role("button", name="Update").click()
    expect(page.get_by_role("spinbutton")).to_have_value("3")
    page.get_by_role("button", name="less").click()
    expect(page.get_by_role("spinbutton")).to_have_value("2")
    check_out(page)
    expect(heading(page)).to_have_text(PAID)
    show_whole_back_room(page)
    assert page.locator("li.job:not([data-state=done])").count() > 0
    expect(page.get_by_role("link", name="Refresh")).to_be_visible()
    fault("analytics")
    expect_all_green(page)  # nothing was pressed: the page comes anew every five seconds
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)
