"""Staff at the admin, by mouse: log in, find a dead letter, replay it."""

from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Page, expect

from tests.browser.shopping import expect_all_green, row
from tests.house import House
from tests.integration.buying import fault

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

PASSWORD = "a greengrocer's"


@pytest.fixture(scope="module")
def chief(house: House) -> str:
    """A superuser's name. Of the module's scope, as what a test itself writes is never committed."""
    return get_user_model().objects.create_superuser("chief", password=PASSWORD).get_username()


def test_staff_find_a_dead_letter_by_the_filters_and_replay_it_until_the_customer_sees_green(
    house: House, chief: str, open_page: Callable, page: Page
):
    fault("analytics", status=400)
    order = house.order().json()
    customer = open_page()
    customer.goto(order["url"])
    expect(row(customer, "analytics")).to_have_attribute("data-state", "stuck")
    expect(row(customer, "analytics")).to_contain_text("This did not work, and a person will see to it.")
    fault("analytics")
    page.goto("/admin/")
    page.get_by_label("Username").fill(chief)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.locator("#content").get_by_role("link", name="Jobs", exact=True).click()
    filters = page.locator("#changelist-filter")
    for choice in ("dead", "bulk", "orders.send_analytics"):
        filters.get_by_role("link", name=choice, exact=True).click()
    line = page.locator("#result_list tbody tr", has_text=f"analytics:{order['number']}")
    expect(line).to_contain_text("400")
    line.get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option("replay")
    page.get_by_role("button", name="Go").click()
    expect(page.locator(".messagelist")).to_have_text("1 job replayed.")
    customer.reload()
    expect_all_green(customer)
