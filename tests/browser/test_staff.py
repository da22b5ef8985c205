"""Staff at the admin, by mouse: log in, find a dead letter, release an order from hold, cancel one."""

from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Page, expect

from tests.browser.shopping import PAID, expect_all_green, heading, row
from tests.browser.staff import PASSWORD, log_in
from tests.cluster import Cluster
from tests.integration.buying import fault

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


@pytest.fixture(scope="module")
def chief(house: Cluster) -> str:
    """A superuser's name. Of the module's scope, as what a test itself writes is never committed."""
    return get_user_model().objects.create_superuser("chief", password=PASSWORD).get_username()


def test_staff_find_a_dead_letter_by_the_filters_and_replay_it_in_operations_until_the_customer_sees_green(
    house: Cluster, chief: str, open_page: Callable, page: Page
):
    fault("analytics", status=400)
    order = house.order().json()
    customer = open_page()
    customer.goto(f"{order['url']}&whole=1")
    expect(row(customer, "analytics")).to_have_attribute("data-state", "failed")
    expect(row(customer, "analytics")).to_contain_text("This step failed. Our team will take care of it.")
    fault("analytics")
    page.goto("/admin/")
    log_in(page, chief)
    page.locator("#content").get_by_role("link", name="Jobs", exact=True).click()
    filters = page.locator("#changelist-filter")
    for choice in ("dead", "bulk", "orders.send_analytics"):
        filters.get_by_role("link", name=choice, exact=True).click()
    line = page.locator("#result_list tbody tr", has_text=f"analytics:{order['number']}")
    expect(line).to_contain_text("400")
    expect(page.get_by_label("Action:")).to_have_count(0)
    line.get_by_role("link", name="Open", exact=True).click()
    page.get_by_role("link", name="Replay…").click()
    page.get_by_label("Reason").fill("the partner is back")
    page.get_by_role("button", name="Replay 1 job").click()
    expect(page.get_by_text("1 job replayed.")).to_be_visible()
    customer.reload()
    expect_all_green(customer)


def press(page: Page, number: int, action: str, confirm: str) -> None:
    """Choose an action for one order in the list of orders, give a reason and confirm."""
    page.goto(f"/admin/orders/order/?q={number}")
    page.locator("#result_list tbody tr").get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option(action)
    page.get_by_role("button", name="Go").click()
    page.get_by_label("Reason").fill("the customer called")
    page.get_by_role("button", name=confirm).click()


def test_staff_release_one_order_from_hold_and_cancel_another_and_both_customers_see_it(
    house: Cluster, chief: str, open_page: Callable, page: Page
):
    released, cancelled = (house.order(lines=[{"product": "whole-stall", "quantity": 1}]).json() for _ in range(2))
    customers = [open_page() for _ in range(2)]
    for customer, order in zip(customers, (released, cancelled), strict=True):
        customer.goto(f"{order['url']}&whole=1")
        expect(heading(customer)).to_have_text(f"Order {order['number']} is under review")
        expect(row(customer, "capture")).to_contain_text("Your card has not been charged yet.")
    page.goto("/admin/")
    log_in(page, chief)
    press(page, released["number"], "release_hold", "Release from hold")
    press(page, cancelled["number"], "cancel", "Cancel and refund")
    expect(page.locator(".messagelist")).to_have_text(
        "1 cancelled. The payment goes back and the customer gets an email."
    )
    expect(heading(customers[0])).to_have_text(PAID)
    expect_all_green(customers[0])
    expect(heading(customers[1])).to_have_text("Your order was cancelled.")
    expect(customers[1].get_by_text("Your card was not charged.")).to_be_visible()
    expect(row(customers[1], "refund")).to_have_attribute("data-state", "done")
    press(page, cancelled["number"], "cancel", "Cancel and refund")
    expect(page.locator(".messagelist")).to_have_text("No order was changed.")
