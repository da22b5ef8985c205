"""The lab, by its buttons: each experiment shows what it states, on a whole demo with everything that belongs to it.

What the page says is checked against the audit, which asks the partners themselves.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from lab.experiments import ALL, BY_SLUG
from stack import ports
from stack.supervisor import CHECKOUT, Control
from tests.browser.test_pages import PAPER, WRONGS
from tests.demo import Demo
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
SWITCH = 200_000  # milliseconds; ten seconds where nothing else goes on

OLDER = """
from datetime import timedelta
from django.db.models import F
from orders.models import Order
from orders.reconcile import AGE
Order.objects.update(created_at=F("created_at") - AGE)
"""  # younger orders are not the reconciler's


@pytest.fixture(scope="module")
def demo(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("lab") / "var", ports.free())
    try:
        yield running.wait_until_up()
    finally:
        running.ctrl_c()


@pytest.fixture
def page(demo: Demo, browser: Browser) -> Iterator[Page]:
    """The lab's page. The console's errors are not looked at: a web server that is killed makes some."""
    context = browser.new_context(base_url=f"http://127.0.0.1:{demo.numbers['WEB_PORT']}")
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.goto("/lab/")
    yield page
    context.close()


def press(page: Page, slug: str) -> Locator:
    """Press an experiment's button; what the page then says about it."""
    page.locator(f"#{slug}").get_by_role("button").click()
    return page.locator(f".run[data-slug={slug}]")


def see(page: Page, slug: str) -> str:
    """Do an experiment; what was seen, in the page's words."""
    run = press(page, slug)
    expect(run).to_have_attribute("data-outcome", re.compile("."), timeout=1000 * (BY_SLUG[slug].longest + 20))
    expect(page.locator("#live")).to_have_attribute("data-busy", "no")
    assert run.get_attribute("data-outcome") == "seen", run.inner_text()
    return run.locator(".said").inner_text()


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"[data-figure={name}]")


def switch_to(page: Page, button: str, variant: str) -> None:
    page.get_by_role("button", name=button).click()
    expect(page.locator("#live")).to_have_attribute("data-variant", variant, timeout=SWITCH)
    expect(page.locator("#live")).to_have_attribute("data-busy", "no", timeout=SWITCH)


def manage(demo: Demo, *words: str) -> str:
    """A command of manage.py in the demo; what it printed."""
    elsewhere = {"PATH": os.environ["PATH"], "BACKROOM_VAR": str(demo.var)}
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(command, cwd=CHECKOUT, env=elsewhere, stdout=subprocess.PIPE, text=True).stdout


def audit(demo: Demo) -> dict:
    """The audit of the whole demo, once nothing is under way any more."""
    return json.loads(manage(demo, "audit", "--json", "--wait", "30"))


@pytest.mark.parametrize("slug", [experiment.slug for experiment in ALL])
def test_an_experiment_shows_what_it_states(page: Page, slug: str):
    see(page, slug)


def test_after_all_of_them_nothing_is_lost_and_nothing_happened_twice(demo: Demo, page: Page):
    expect(figure(page, "orders")).not_to_have_text("0")
    for name in ("lost", "twice"):
        expect(figure(page, name)).to_have_text("0")
    report = audit(demo)
    assert (report["lost"], report["duplicated"], report["stray"]) == ([], [], [])
    assert report["effects_found"] == report["effects_expected"] > 100


def test_one_experiment_at_a_time_and_everything_is_put_right_at_once_on_demand(demo: Demo, page: Page):
    run = press(page, "hanging-partner")
    expect(run).to_contain_text("customers ordered")
    press(page, "flood")
    expect(page.locator("#live")).to_contain_text("One thing at a time: “Analytics hangs” is still under way.")
    page.get_by_role("button", name="Put everything right").click()
    expect(run).to_have_attribute("data-outcome", "ended")
    expect(page.locator("#live")).to_have_attribute("data-busy", "no")
    assert audit(demo)["lost"] == []


def test_a_broker_that_is_frozen_thaws_even_if_the_labs_own_process_is_killed(demo: Demo, page: Page):
    broker = pid(demo, "valkey")
    press(page, "freeze-broker")
    until(lambda: state(broker) == "T", what="the broker is frozen")
    os.kill(pid(demo, "lab"), signal.SIGKILL)
    until(lambda: state(broker) != "T", what="the broker goes on")
    expect(page.locator(".run")).to_have_attribute("data-outcome", "ended")
    expect(page.locator("#live")).to_have_attribute("data-busy", "no")


def pid(demo: Demo, process: str) -> int:
    return Control(demo.var / "supervisor.sock").call("getProcessInfo", process)["pid"]


def state(pid: int) -> str:
    """Of a process, as the kernel names it: T is stopped."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_customers_come_and_the_strip_tells_how_long_they_wait(page: Page):
    before = int(figure(page, "orders").inner_text())
    page.get_by_role("button", name="Customers in").click()
    expect(figure(page, "checkout")).to_contain_text("ms")
    until(lambda: int(figure(page, "orders").inner_text()) > before, what="orders come in")
    page.get_by_role("button", name="Customers in").click()
    expect(page.get_by_text("no customers in")).to_be_visible()


def test_the_page_fits_a_telephone_by_day_and_by_night_and_can_be_used_by_those_who_do_not_see_it(page: Page):
    for query in WRONGS.values():
        assert page.evaluate(f"() => {query}.map(one => one.outerHTML)") == []
    page.set_viewport_size({"width": 390, "height": 844})
    for scheme, paper in PAPER.items():
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
        assert page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0


@pytest.fixture
def naive(page: Page) -> Page:
    """The lab's page with the naive shop open: closed last, as what it loses stays lost."""
    if page.locator("#live").get_attribute("data-variant") != "naive":
        switch_to(page, "Run the shop naive", "naive")
    return page


LOSES = {
    "kill-worker": "Lost for good: shipment:",
    "kill-web": "Lost for good: .*invoice:",
    "freeze-broker": r"A customer waited \d+\.\d s",
    "flush-broker": "Lost for good: ",
    "poison": "nobody knows of it any more",
    "two-beats": "Three reports were due, 6 were mailed",
}
LOSES_NOTHING = {
    "slow-partner": "Nothing was lost by this",
    "failing-partner": "Nothing was lost by this",
    "hanging-partner": "Nothing was lost by this",
    "limiting-partner": "Nothing was lost by this",
    "flood": "The password's mail took",
    "stop-beat": "late, and once",
}


@pytest.mark.parametrize(("slug", "said"), LOSES.items(), ids=LOSES)
def test_without_a_ledger_it_shows_what_is_lost(naive: Page, slug: str, said: str):
    assert re.search(said, see(naive, slug))


@pytest.mark.slow  # `make naive`
@pytest.mark.parametrize(("slug", "said"), LOSES_NOTHING.items(), ids=LOSES_NOTHING)
def test_without_a_ledger_it_shows_that_nothing_is_lost_by_this_alone(naive: Page, slug: str, said: str):
    assert re.search(said, see(naive, slug))


def test_with_its_ledger_again_the_reconciler_finds_what_the_naive_shop_lost(demo: Demo, naive: Page):
    if figure(naive, "lost").inner_text() == "0":
        see(naive, "kill-worker")
    expect(figure(naive, "lost")).not_to_have_text("0")
    switch_to(naive, "Run it with its ledger", "ledgered")
    told = naive.get_by_text("The shop naive, when it was closed")
    expect(told).to_be_visible()
    see(naive, "kill-worker")  # and a mail later than those that are missing: else their records are not believed
    expect(figure(naive, "lost")).to_have_text("0")
    manage(demo, "shell", "--command", OLDER)
    manage(demo, "reconcile")
    expect(told).to_contain_text("By now: 0 lost; the reconciler has mended what it could", timeout=60_000)
    assert audit(demo)["lost"] == []
