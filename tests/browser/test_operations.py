"""An operator's day, by mouse: see that something is wrong, find the cause, fix it; and a reader who only looks."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db.models.functions import Now
from django.utils import timezone
from playwright.sync_api import Page, expect

from backroom.ledger.models import Job, State
from backroom.ops import roles
from backroom.runtime.call import new_id
from tests.browser.page_rules import too_wide
from tests.browser.shopping import expect_all_green, row
from tests.browser.staff import PASSWORD, log_in
from tests.cluster import Cluster
from tests.integration.buying import fault

LONG = new_id()

pytestmark = [pytest.mark.browser, pytest.mark.django_db]


@pytest.fixture(scope="module")
def people(house: Cluster) -> None:
    """An operator and a reader, and a job of long words. Of the module's scope, as what a test itself writes is never
    committed."""
    for name, group in ("operator", roles.OPERATORS), ("reader", roles.READERS):
        User.objects.create_user(name, password=PASSWORD, is_staff=True).groups.add(Group.objects.get(name=group))
    Job.objects.create(
        id=LONG, task="t" * 200, queue="bulk", key="k" * 200, args={"a": "a" * 200}, state=State.CANCELLED,
        worker="w" * 200, error="e" * 400, finished_at=timezone.now(),
    )  # fmt: skip


def enter(page: Page, name: str) -> None:
    """Ask for the page, be led to the login and back."""
    page.goto("/ops/")
    log_in(page, name)
    expect(page).to_have_url(re.compile("/ops/$"))


def give_a_reason(page: Page, button: str) -> None:
    page.get_by_label("Reason").fill("a drill")
    page.get_by_role("main").get_by_role("button", name=button).click()


def test_a_dead_letter_is_found_by_its_cause_and_replayed_until_the_customer_sees_green(
    house: Cluster, people: None, open_page: Callable, page: Page
):
    fault("analytics", status=400)
    order = house.order().json()
    customer = open_page()
    customer.goto(f"{order['url']}&whole=1")
    expect(row(customer, "analytics")).to_have_attribute("data-state", "failed")
    fault("analytics")
    enter(page, "operator")
    expect(page.locator("#health")).to_contain_text(re.compile("needs? a decision"))
    page.get_by_role("navigation", name="Operations").get_by_role("link", name="Dead letters").click()
    page.get_by_role("row", name=re.compile("orders.send_analytics")).get_by_role("link").first.click()
    page.get_by_role("row", name=re.compile(f"analytics:{order['number']}")).get_by_role("checkbox").check()
    page.get_by_role("button", name="Replay selected").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Replay 1 job?")
    give_a_reason(page, "Replay 1 job")
    expect(page.get_by_text("1 job replayed.")).to_be_visible()
    customer.reload()
    expect_all_green(customer)


def test_a_page_that_can_not_refresh_itself_says_so_until_it_can(people: None, page: Page, troubles: list[str]):
    enter(page, "reader")
    refresh = "htmx.ajax('GET', '/ops/', {target: '#health', swap: 'none'}).catch(() => 0)"  # as each five seconds
    page.context.set_offline(True)
    page.evaluate(refresh)
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^\s*The web does not answer. This page is of \d\d:"))
    page.context.set_offline(False)
    page.evaluate(refresh)
    expect(page.get_by_role("status")).to_have_text("")
    troubles.clear()


def test_a_phone_folds_the_panels_and_keeps_open_what_was_opened(house: Cluster, people: None, open_page: Callable):
    house.start("worker-media", "worker-webhooks")  # else the page has their alerts, too
    page = open_page(viewport={"width": 390, "height": 844})
    enter(page, "reader")
    expect(page.locator("#processes")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollHeight") < 2.5 * 844
    page.get_by_text("Processes", exact=True).first.click()
    with page.expect_response(re.compile("/ops/$")):  # refreshed
        expect(page.locator("#processes")).to_be_visible()
    expect(page.locator("#processes")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.locator("#schedules")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)


def test_a_queue_is_paused_for_its_workers_and_resumed_while_the_page_is_live(
    house: Cluster, people: None, open_page: Callable, page: Page
):
    enter(page, "operator")
    bulk = page.locator("tr[data-queue=bulk]")
    bulk.get_by_role("link", name="Pause…").click()
    give_a_reason(page, "Pause")
    expect(bulk).to_contain_text("paused")
    order = house.order().json()
    customer = open_page()
    customer.goto(f"{order['url']}&whole=1")
    for kind in "receipt", "shipment":
        expect(row(customer, kind)).to_have_attribute("data-state", "done")
    expect(row(customer, "analytics")).to_have_attribute("data-state", "waiting")
    expect(bulk.get_by_role("cell").first).to_have_text("2")  # analytics and recommendations, without a reload
    bulk.get_by_role("link", name="Resume…").click()
    give_a_reason(page, "Resume")
    expect_all_green(customer)
    page.get_by_role("navigation", name="Operations").get_by_role("link", name="Jobs").click()
    page.get_by_label("Number, key or id").fill(str(order["number"]))
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=f"analytics:{order['number']}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")


def test_a_reader_finds_nothing_to_press_and_the_charts_of_a_week(house: Cluster, people: None, page: Page):
    Job.objects.filter(state="waiting", run_at__gt=Now() + timedelta(hours=1)).delete()  # reminders of earlier tests
    enter(page, "reader")
    expect(page.locator("tr[data-queue=bulk]")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("Pause|Resume|Run…"))).to_have_count(0)
    page.get_by_role("link", name="week of charts").click()
    expect(page.get_by_role("heading", name="The last week")).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 800})
    assert not too_wide(page)
    expect(page.get_by_text("Scheduled: not due yet")).to_be_hidden()  # as is the column, while no row has a number


def test_no_table_is_cut_and_the_longest_words_of_a_job_are_wrapped(people: None, page: Page):
    enter(page, "reader")
    for address in "/ops/", "/ops/jobs/?state=cancelled", f"/ops/jobs/{LONG}/":
        page.goto(address)
        for width in 390, 1280:
            page.set_viewport_size({"width": width, "height": 900})
            assert not too_wide(page)
            assert page.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)")
