"""A newsletter from its first word to its last mail: staff write, try, send, pause and resume it, a reader leaves."""

import os
from collections.abc import Callable

import pytest
import urllib3
from django.contrib.auth import get_user_model
from playwright.sync_api import Page, expect

from marketing import subscriptions
from tests.browser.shopping import heading
from tests.browser.staff import PASSWORD, log_in
from tests.cluster import Cluster
from tests.integration.buying import fault
from tests.integration.subscribing import path, subscriber
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.django_db]
READERS = 40


@pytest.fixture(scope="module")
def readers(house: Cluster) -> list:
    """Of the module's scope, as what a test itself writes is never committed."""
    get_user_model().objects.create_superuser("editor", "editor@example.com", password=PASSWORD)
    return [subscriber() for _ in range(READERS)]


def mails(kind: str) -> list[dict]:
    found = urllib3.request("GET", f"{os.environ['PARTNERS_URL']}/effects?partner=mail").json()["effects"]
    return [effect for effect in found if effect["kind"] == kind]


def test_staff_write_try_send_pause_and_resume_a_newsletter_and_a_reader_leaves(
    house: Cluster, readers: list, open_page: Callable, page: Page
):
    page.goto("/admin/marketing/campaign/add/")
    log_in(page, "editor")
    page.get_by_label("Subject").fill("Rhubarb is back")
    page.get_by_label("Body").fill("# Rhubarb\n\n**Fresh** today. <script>alert(1)</script>[Shop](/)")
    page.get_by_role("button", name="Save", exact=True).click()
    mail = page.frame_locator("iframe")
    expect(mail.get_by_role("heading", name="Rhubarb")).to_be_visible()
    expect(mail.locator("script")).to_have_count(0)
    expect(page.locator("#state")).to_contain_text(f"Draft · {READERS} recipients: all subscribers")
    page.get_by_role("button", name="Send a test to me").click()
    expect(page.locator(".messagelist")).to_have_text("A test mail is on its way to you.")
    until(lambda: mails("campaign-test"))

    fault("mail", latency_ms=300)
    for role, name in ("link", "Send now"), ("button", f"Send to {READERS} recipients"):
        page.get_by_role(role, name=name).focus()
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Pause").click()
    state = page.locator("#state")
    expect(state).to_contain_text("Paused")
    expect(state.get_by_role("progressbar")).to_be_visible()
    assert len(mails("campaign")) < READERS
    fault("mail")
    page.get_by_role("button", name="Resume").click()
    expect(state).to_contain_text(f"Sent · all subscribers of the newsletter {READERS} of {READERS} done")
    assert [effect["count"] for effect in mails("campaign")] == [1] * READERS

    visitor = open_page(viewport={"width": 390, "height": 800})
    visitor.goto(path(subscriptions.unsubscribe_url(readers[0], "newsletter"), "unsubscribe"))
    visitor.get_by_role("button", name="Unsubscribe").click()
    expect(heading(visitor)).to_have_text("You are unsubscribed")
    assert subscriptions.reader(readers[0].pk, "newsletter") is None
