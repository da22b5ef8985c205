"""Pictures of pages, to be looked at: `make pictures`. By day and by night, wide and as on a phone, with 100,000 jobs
in the ledger. No test of `make test`.

They go to $PICTURES (default: var/pictures); those for docs/images into `docs` there. Look at them before you copy
them, and take them on an idle machine.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.template.loader import render_to_string
from playwright.sync_api import Browser, Page, expect

from backroom.ledger.models import Job
from backroom.observe.models import Progress
from backroom.ops import audit_log
from backroom.ops.models import Alert
from bench import sample
from orders.tasks import mail_sales_report
from stack import ports
from tests.browser.lab_page import figure, press, see, switch_to
from tests.browser.page_rules import too_wide
from tests.browser.shopping import expect_all_green, row
from tests.browser.staff import PASSWORD, log_in
from tests.cluster import Cluster
from tests.demo import Demo
from tests.integration.buying import fault
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.timeout(900)]

CHECKOUT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("PICTURES") or CHECKOUT / "var" / "pictures")
LOOKS = [(name, scheme, width) for width in (1280, 390) for name, scheme in (("day", "light"), ("night", "dark"))]
GROUP = "task=orders.request_shipment&cause=Permanent:+shipment+of+order+%23+was+refused"


@pytest.fixture
def _django_db_helper() -> None:
    """Instead of pytest-django's, which holds one transaction open all the time; the house has opened the database."""


@pytest.fixture(scope="module")
def busy(house: Cluster) -> Cluster:
    """The house after a busy week, with all its processes."""
    with transaction.atomic():
        sample.fill(100_000)
        Job.objects.filter(state="running").delete()  # no worker has them, so the dispatcher would rescue them
    User.objects.create_superuser("operator", password=PASSWORD)
    house.start("beat", "watcher")
    return house


def shoot(page: Page, address: str, name: str, prepare: Callable[[Page], None] = lambda page: None) -> None:
    """A page in all its looks."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for look, scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        if address:
            page.goto(address)
        prepare(page)
        page.screenshot(path=FOLDER / f"{name}-{look}-{width}.png", full_page=True)
        assert not too_wide(page), f"{name} at {width}"


def for_docs(page: Page, address: str, file: str, height: int = 900) -> None:
    """A picture for a document."""
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": height})
    page.goto(address)
    page.screenshot(path=FOLDER / "docs" / file)


def test_pictures(busy: Cluster, open_page: Callable, troubles: list[str]):
    customer, page = open_page(), open_page(reduced_motion="reduce")
    page.goto("/ops/")
    log_in(page, "operator")
    failed = troubled_order(busy)
    order = busy.order().json()
    customer.goto(f"{order['url']}&whole=1")
    expect_all_green(customer)
    shoot(customer, "/", "shop")
    shoot(customer, order["url"], "order")
    for_docs(customer, f"{order['url']}&whole=1", "timeline.png")
    sorry(customer)
    cancelled(busy, customer, page)
    ops(page, failed)
    busy.kill("beat")
    long_job(page)
    alerts(page)
    troubles.clear()  # pages that were left while they loaded


def troubled_order(house: Cluster) -> Job:
    """A job of a new order that was tried twice and refused then."""
    fault("analytics", status=503)
    number = house.order().json()["number"]
    job = until(lambda: Job.objects.filter(key=f"analytics:{number}", attempts__gte=2, state="waiting").first(), 60)
    fault("analytics", status=400)
    until(lambda: Job.objects.filter(id=job.id, state="dead").exists(), 60)
    fault("analytics")
    return job


def sorry(page: Page) -> None:
    html = render_to_string("503.html", {"fields": [], "action": "/"})
    page.goto("/")
    shoot(page, "", "sorry", lambda page: page.set_content(html))
    html = render_to_string("503.html", {"fields": [("email", "x")], "action": "/"})
    shoot(page, "", "sorry-form", lambda page: page.set_content(html))


def cancelled(house: Cluster, customer: Page, page: Page) -> None:
    order = house.order().json()
    page.goto(f"/admin/orders/order/?q={order['number']}")
    page.locator("#result_list tbody tr").get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option("cancel")
    page.get_by_role("button", name="Go").click()
    page.get_by_label("Reason").fill("the customer called")
    shoot(page, "", "order-confirm")
    page.get_by_role("button", name="Cancel and refund").click()
    customer.goto(order["url"])
    expect(row(customer, "refund")).to_have_attribute("data-state", "done")
    shoot(customer, order["url"], "order-cancelled")


def ops(page: Page, failed: Job) -> None:
    for span in "hour", "day", "week":
        shoot(page, f"/ops/?span={span}", f"health-{span}")
    for_docs(page, "/ops/", "ops-health.png", height=1600)
    shoot(page, "/ops/jobs/", "jobs")
    shoot(page, "/ops/jobs/?state=dead&task=orders.request_shipment", "jobs-dead")
    shoot(page, "/ops/jobs/?q=99999999", "jobs-none")
    shoot(page, "/ops/jobs/?state=retrying&worker=one", "jobs-retrying")
    shoot(page, "/ops/act/?verb=try&all=1&found=state%3Dretrying", "jobs-try")

    def unfold(page: Page) -> None:
        page.locator("details").first.evaluate("each => each.open = true")

    shoot(page, f"/ops/jobs/{failed.id}/", "job", unfold)
    shoot(page, f"/ops/jobs/{Job.objects.filter(key__startswith='receipt:').order_by('-id')[0].id}/", "job-done")
    shoot(page, "/ops/dead/", "dead")
    shoot(page, f"/ops/dead/?{GROUP}", "group")
    shoot(page, f"/ops/act/?verb=replay&{GROUP}&per_minute=60", "preview-replay")
    shoot(page, f"/ops/act/?verb=cancel&id={failed.id}", "preview-cancel")
    shoot(page, f"/ops/jobs/{failed.id}/edit/", "edit")
    shoot(page, "/ops/pause/?what=queue:bulk", "pause")
    audit_log.pause("task:orders.send_analytics", "operator", "the partner moves house")
    shoot(page, "/ops/resume/?what=task:orders.send_analytics", "resume")
    shoot(page, "/ops/", "health-paused")
    audit_log.resume("task:orders.send_analytics", "operator", "the partner has moved")
    shoot(page, "/ops/actions/", "actions")
    shoot(page, "/ops/alerts/", "alerts-quiet")


def long_job(page: Page) -> None:
    """The sales report of a day, while the mail server takes its time."""
    fault("mail", latency_ms=4800)
    with connection.cursor() as cursor:
        cursor.execute("SELECT (clock_timestamp() AT TIME ZONE 'utc')::date::text")
        (day,) = cursor.fetchone()
    id = mail_sales_report.enqueue(day)
    until(lambda: Progress.objects.filter(job_id=id, done__gt=0).exists())
    Progress.objects.filter(job_id=id).update(done=8123, total=20000, rate=911)  # the day was a quiet one
    shoot(page, f"/ops/jobs/{id}/", "job-running")
    fault("mail")


def alerts(page: Page) -> None:
    """A minute after beat died."""
    until(lambda: Alert.objects.filter(rule="beat-silent", fired_at__isnull=False).exists(), 120)
    shoot(page, "/ops/alerts/", "alerts-firing")
    shoot(page, "/ops/", "health-alert")


@pytest.fixture
def lab(chromium: str, browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The lab's page, of a demo of its own."""
    demo = Demo(tmp_path / "var", ports.free())
    try:
        site = f"http://127.0.0.1:{demo.wait_until_up().numbers['WEB_PORT']}"
        context = browser.new_context(base_url=site, reduced_motion="reduce")
        page = context.new_page()
        page.goto("/lab/")
        yield page
        context.close()
    finally:
        demo.ctrl_c()


def test_pictures_of_the_lab(lab: Page):
    expect(figure(lab, "orders")).not_to_have_text("0")
    shoot(lab, "/lab/", "lab-idle")
    expect(press(lab, "hanging-partner")).to_contain_text("Placed 2 orders")
    shoot(lab, "/lab/", "lab-running")
    expect(lab.locator(".run")).to_have_attribute("data-outcome", "seen", timeout=60_000)
    switch_to(lab, "Run naive", "naive")
    see(lab, "kill-worker")
    shoot(lab, "/lab/", "lab-naive")
    shoot(lab, "/", "shop-naive")
    shoot(lab, "/lab/code/backroom/ledger/rescue.py", "lab-code")
    lab.goto("/lab/")
    switch_to(lab, "Run with ledger", "ledgered")
    lab.get_by_role("button", name="Start or stop customers").click()
    until(lambda: int(figure(lab, "orders").inner_text()) > 20, 90)
    see(lab, "kill-worker")
    for_docs(lab, "/lab/", "lab.png")
