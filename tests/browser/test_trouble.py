"""What customers see when something goes wrong: a card, a form, a slow bank, a partner that is down."""

import re

import pytest
from playwright.sync_api import Page, expect

from backroom.ledger.models import Job
from orders.models import Order
from tests.browser.keyboard import has_focus, tab_to
from tests.browser.shopping import (
    CUSTOMER,
    FOLLOW_UPS,
    OWN,
    PAID,
    check_out,
    expect_all_green,
    heading,
    only_answers,
    put_in_cart,
    row,
    show_whole_back_room,
)
from tests.integration.buying import fault, live_keys, stock_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


def test_a_declined_card_keeps_the_cart_and_what_was_typed_and_the_shelf_and_starts_no_job(
    page: Page, troubles: list[str]
):
    before = stock_of("radishes")
    put_in_cart(page, "radishes")
    check_out(page, "demo-decline")
    expect(page.get_by_role("alert")).to_have_text("Your card was declined. Nothing was charged. Try another card.")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page).to_have_title(re.compile("^Error: "))
    expect(page.get_by_label("Name")).to_have_value(CUSTOMER["Name"])
    expect(page.locator("#cart-link")).to_contain_text("1 item")
    declined = Order.objects.filter(lines__product__slug="radishes").get()
    assert (declined.status, stock_of("radishes")) == ("declined", before)
    assert live_keys(declined.number) == set()
    assert not Job.objects.filter(key__in=[f"{kind}:{declined.number}" for kind in FOLLOW_UPS]).exists()
    page.locator("input[name=card][value=demo-approve]").check()
    page.get_by_role("button", name="Buy now").click()
    expect(heading(page)).to_have_text(PAID)
    assert stock_of("radishes") == before - 1
    assert only_answers(troubles, 402)


def test_what_was_typed_is_there_after_a_reload_and_after_a_look_at_the_cart_and_gone_with_the_order(page: Page):
    put_in_cart(page, "garlic")
    page.get_by_role("link", name="Check out").click()
    for label, text in CUSTOMER.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_label("Country").select_option("PL")
    expect(page.locator("#sums")).to_contain_text("Delivery to Poland")
    for leave in (page.reload, lambda: page.goto("/cart/")):
        leave()
        page.goto("/checkout/")
        for label, text in CUSTOMER.items():
            expect(page.get_by_label(label, exact=True)).to_have_value(text)
        expect(page.get_by_label("Country")).to_have_value("PL")
        expect(page.locator("#sums")).to_contain_text("Delivery to Poland")
    page.get_by_role("button", name="Buy now").click()
    expect(heading(page)).to_have_text(PAID)
    assert page.evaluate("sessionStorage.getItem('checkout')") is None


def test_what_is_wrong_in_a_form_is_said_beside_its_field_and_the_focus_is_on_the_first(
    page: Page, troubles: list[str]
):
    page.goto("/orders/find/")
    page.get_by_label("Email").fill("not-an-address")
    page.get_by_role("button", name="Email me the link").click()
    expect(page.get_by_label("Order number")).to_be_focused()
    assert only_answers(troubles, 422)
    put_in_cart(page, "basil")
    page.get_by_role("link", name="Check out").click()
    page.get_by_label("Email").fill("not-an-address")
    page.get_by_label("Name").fill("Łucja Čapek")
    page.get_by_role("button", name="Buy now").click()
    expect(page.get_by_role("alert")).to_have_text("Check the highlighted fields.")
    expect(page.get_by_label("Email")).to_be_focused()
    for label, words in {"Email": "email address", "City": "required", "Postcode": "required"}.items():
        field = page.get_by_label(label, exact=True)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(words))
        expect(page.locator(".field", has=field)).to_contain_text(re.compile(words))
    expect(page.get_by_label("Name")).not_to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Email")).to_have_value("not-an-address")
    tab_to(page, page.get_by_label("City"))
    assert not Order.objects.filter(lines__product__slug="basil").exists()
    assert only_answers(troubles, 422)


def test_a_failed_request_of_a_script_is_told_and_the_field_shows_what_the_cart_has(page: Page, troubles: list[str]):
    put_in_cart(page, "garlic")
    message, quantity = page.locator("#messages"), page.get_by_label("Quantity of")
    page.context.set_offline(True)
    quantity.fill("7")
    page.keyboard.press("Tab")
    expect(message).to_contain_text("The shop did not answer. Check your connection and try again.")
    expect(quantity).to_have_value("1")
    page.context.set_offline(False)
    quantity.fill("2")
    page.keyboard.press("Tab")
    expect(page.locator("#cart-link")).to_contain_text("2 items")
    expect(message).not_to_contain_text("did not answer")
    page.context.clear_cookies()
    quantity.fill("3")
    page.keyboard.press("Tab")
    expect(message).to_contain_text("Your form was not sent.")
    troubles.clear()


def test_a_slow_card_is_being_confirmed_and_then_turns_paid_before_the_customers_eyes(page: Page):
    put_in_cart(page, "strawberries")
    check_out(page, "demo-slow")
    expect(heading(page)).to_have_text("Thank you! Your payment is being confirmed.")
    page.evaluate("window.notReloaded = true")
    expect(row(page, "settle")).to_be_visible()
    expect(heading(page)).to_have_text(PAID)
    expect_all_green(page, OWN)
    assert page.evaluate("window.notReloaded")


def test_a_partner_that_is_down_is_tried_again_as_the_timeline_says_until_it_is_healed(page: Page):
    fault("warehouse", down=True)
    put_in_cart(page, "cherries")
    check_out(page)
    shipment, invoice = row(page, "shipment"), page.get_by_role("link", name="Download the invoice (PDF)")
    expect(shipment).to_have_attribute("data-state", "retrying")
    expect(shipment).to_contain_text("The warehouse did not answer. We will try again.")
    expect(shipment).to_contain_text(re.compile(r"attempt \d+, next (in \d+ s|any moment)"))
    tab_to(page, invoice)
    invoice.evaluate("link => link.seenBefore = true")
    expect(page.locator("#invoice")).not_to_have_js_property("seenBefore", True)
    assert has_focus(invoice), "the page took the focus away when it looked again"
    fault("warehouse")
    show_whole_back_room(page)
    expect_all_green(page)
    expect(shipment).to_contain_text("attempts")
