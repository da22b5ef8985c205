"""The page on which a customer chooses how we reach them, and turns on notifications in the browser."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import expect

from notifications.models import Contact
from tests.browser.shopping import only_answers
from tests.cluster import Cluster
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


@pytest.fixture(scope="module")
def session(house: Cluster) -> dict[str, str]:
    """The cookie of a signed-in customer. Of the module's scope, as what a test itself writes is never committed."""
    client = Client()
    client.force_login(User.objects.create(username="notified", email="notified@example.org"))
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value, "url": house.site}


def test_a_browser_is_turned_on_by_a_click_and_the_choice_by_keyboard(
    open_page: Callable, session: dict[str, str], troubles: list[str]
):
    """No push service can be reached here, as in the demo, so a browser of the partner's stands in."""
    page = open_page(permissions=["notifications"], timezone_id="Asia/Tokyo", viewport={"width": 390, "height": 844})
    page.context.add_cookies([session])
    page.goto("/accounts/notifications/")
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")
    page.get_by_role("button", name="Notify me in this browser").click()
    expect(page.get_by_role("status").get_by_text("stands in for it")).to_be_visible()

    def on() -> bool:
        page.reload()
        return page.get_by_text("Notifications are on in 1 browser.").is_visible()

    until(on, what="the stand-in")
    expect(page.get_by_label("Notification in the browser")).to_be_checked()
    expect(page.get_by_text("This browser gets them.")).to_be_visible()
    expect(page.get_by_role("button", name="Notify me in this browser")).to_have_count(0)

    page.get_by_label("Notification in the browser").focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("SMS")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.type("086 123")
    page.keyboard.press("Enter")
    phone = page.get_by_label("Phone number")
    expect(phone).to_be_focused()
    expect(page.get_by_text("Enter the number with its country code")).to_be_visible()
    phone.fill("+353 86 123 4567")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your choice is saved.")).to_be_visible()
    assert Contact.objects.get(user__username="notified").phone == "+353861234567"
    troubles[:] = [trouble for trouble in troubles if "Push API" not in trouble]  # a context is like incognito mode
    assert only_answers(troubles, 422)
