"""The lab's buttons, on a whole demo: each experiment has the result that its card states.

The audit checks the page's figures against the partners' own records.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from lab.experiments import ALL
from stack.supervisor import CHECKOUT, Control
from tests.browser.conftest import PATIENCE
from tests.browser.lab_page import figure, press, see, switch_to
from tests.browser.page_rules import PAPER, mistakes, paper, too_wide
from tests.demo import Demo
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
QUICK = ("kill-worker", "flush-broker")  # a process dies, a server loses its data; the others are slow
done: list[str] = []  # experiments in this run


@pytest.fixture
def page(demo: Demo, browser: Browser) -> Iterator[Page]:
    """The lab's page. Errors in the console are allowed, because the experiments kill the web server."""
    context = browser.new_context(reduced_motion="reduce", base_url=f"http://127.0.0.1:{demo.numbers['WEB_PORT']}")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto("/lab/")
    yield page
    context.close()


def manage(demo: Demo, *words: str) -> str:
    """Run a command of manage.py in the demo. Returns its output."""
    environ = {"PATH": os.environ["PATH"], "BACKROOM_VAR": str(demo.var)}
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(command, cwd=CHECKOUT, env=environ, stdout=subprocess.PIPE, text=True).stdout


def audit(demo: Demo) -> dict:
    """The audit of the whole demo, once no work is left."""
    return json.loads(manage(demo, "audit", "--json", "--wait", "60"))


def test_the_page_stays_where_it_is_while_an_experiment_runs(page: Page):
    places = """[...document.querySelectorAll("#main :is(h1, h2, h3, p, ul, dl, pre)")]
        .filter(one => one.checkVisibility() && !one.closest(".run") && one.id != "away")
        .map(one => [one.textContent.slice(0, 20), Math.round(one.getBoundingClientRect().top + scrollY)])"""
    run = press(page, "kill-web")  # the page is offline for a moment, too
    expect(run).to_have_attribute("data-outcome", "")
    before = page.evaluate(places)
    expect(run.locator("li")).to_have_count(2)
    assert page.evaluate(places) == before
    expect(run).to_have_attribute("data-outcome", "seen")
    assert page.evaluate(places) == before
    done.append("kill-web")


@pytest.mark.parametrize(
    "slug", [pytest.param(each.slug, marks=[] if each.slug in QUICK else pytest.mark.slow) for each in ALL]
)
def test_an_experiment_has_the_result_that_its_card_states(page: Page, slug: str):
    see(page, slug)
    done.append(slug)


def test_after_all_of_them_no_effect_is_lost_or_done_twice(demo: Demo, page: Page):
    expect(figure(page, "orders")).not_to_have_text("0")
    for name in ("lost", "twice"):
        expect(figure(page, name)).to_have_text("0")
    report = audit(demo)
    assert (report["lost"], report["duplicated"], report["stray"]) == ([], [], [])
    assert report["effects_found"] == report["effects_expected"] > 9 * len(done)


def test_one_experiment_runs_at_a_time_and_stops_on_request(demo: Demo, page: Page):
    run = press(page, "hanging-partner")
    expect(run).to_contain_text("Placed 2 orders")
    press(page, "flood")
    expect(page.locator("#notice")).to_contain_text("“Analytics hangs” is still in progress.")
    page.get_by_role("button", name="Stop and restore").click()
    expect(run).to_have_attribute("data-outcome", "ended")
    expect(page.locator("#live")).to_have_attribute("data-busy", "no")
    assert audit(demo)["lost"] == []


def test_a_frozen_broker_continues_even_if_the_labs_process_is_killed(demo: Demo, page: Page):
    broker = pid(demo, "valkey")
    press(page, "freeze-broker")
    until(lambda: state(broker) == "T", what="the broker is frozen")
    os.kill(pid(demo, "lab"), signal.SIGKILL)
    until(lambda: state(broker) != "T", what="the broker continues")
    expect(page.locator(".run")).to_have_attribute("data-outcome", "ended")
    expect(page.locator("#live")).to_have_attribute("data-busy", "no")


def pid(demo: Demo, process: str) -> int:
    return Control(demo.var / "supervisor.sock").call("getProcessInfo", process)["pid"]


def state(pid: int) -> str:
    """A process's state as the kernel names it: T is stopped."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_customers_order_and_the_page_shows_their_response_time(page: Page):
    before = int(figure(page, "orders").inner_text())
    page.get_by_role("button", name="Start or stop customers").click()
    expect(figure(page, "checkout")).to_contain_text("ms")
    until(lambda: int(figure(page, "orders").inner_text()) > before, what="orders come in")
    page.get_by_role("button", name="Start or stop customers").click()
    expect(page.get_by_text("no customers")).to_be_visible()


def test_the_page_fits_a_phone_by_day_and_by_night_and_works_with_a_screen_reader(page: Page):
    assert mistakes(page) == {}
    page.set_viewport_size({"width": 390, "height": 844})
    for scheme, colour in PAPER.items():
        page.emulate_media(color_scheme=scheme)
        assert (paper(page), too_wide(page)) == (colour, False)
    code = page.locator(".pair-of-code").first
    assert code.evaluate("pair => pair.scrollWidth - pair.clientWidth") <= 0, "only an excerpt scrolls, not the pair"


@pytest.fixture
def naive(page: Page) -> Page:
    """The lab's page with the naive shop. These tests are the last, because its losses stay."""
    if page.locator("#live").get_attribute("data-variant") != "naive":
        switch_to(page, "Run naive", "naive")
    return page


@pytest.fixture
def checklist(page: Page) -> Page:
    """The lab's page with the shop by Celery's checklist."""
    if page.locator("#live").get_attribute("data-variant") != "checklist":
        switch_to(page, "Run by Celery", "checklist")
    return page


LOSES = {
    "kill-worker": "Lost for good: shipment:",
    "kill-web": "Lost for good: .*invoice:",
    "freeze-broker": r"A customer waited \d+\.\d s",
    "flush-broker": "Lost for good: ",
    "poison": "no record of it is left",
    "two-beats": "Three reports were due. 6 were mailed",
    "stop-campaign": r"\d+ of 100 readers have no mail",
}
LOSES_NOTHING = {
    "slow-partner": "Nothing was lost",
    "failing-partner": "Nothing was lost",
    "hanging-partner": "Nothing was lost",
    "limiting-partner": "Nothing was lost",
    "flood": "The mail of the reset took",
    "silent-sms": "Nothing was lost",
    "stop-beat": "late, and once",
}


@pytest.mark.slow  # `make naive`
@pytest.mark.parametrize(("slug", "text"), LOSES.items(), ids=LOSES)
def test_without_a_ledger_it_shows_the_losses(naive: Page, slug: str, text: str):
    assert re.search(text, see(naive, slug))


@pytest.mark.slow  # `make naive`
@pytest.mark.parametrize(("slug", "text"), LOSES_NOTHING.items(), ids=LOSES_NOTHING)
def test_without_a_ledger_it_shows_that_this_alone_loses_nothing(naive: Page, slug: str, text: str):
    assert re.search(text, see(naive, slug))


LISTED = {  # by Celery's checklist: a dead child loses nothing, the rest is as before
    "kill-worker": "Nothing was lost",
    "kill-web": "Lost for good: .*invoice:",
    "freeze-broker": r"A customer waited \d+\.\d s",
    "flush-broker": "Lost for good: ",
    "poison": r"It ran \d+ times",
    "two-beats": "Three reports were due. 6 were mailed",
    "stop-campaign": r"\d+ of 100 readers have no mail",
} | LOSES_NOTHING


@pytest.mark.slow
@pytest.mark.parametrize(("slug", "text"), LISTED.items(), ids=LISTED)
def test_by_celerys_checklist_it_shows_what_is_still_lost(checklist: Page, slug: str, text: str):
    assert re.search(text, see(checklist, slug))


@pytest.mark.slow
def test_with_the_ledger_again_a_button_repairs_the_naive_shops_losses(demo: Demo, naive: Page):
    if figure(naive, "lost").inner_text() == "0":
        see(naive, "kill-worker")
    expect(figure(naive, "lost")).not_to_have_text("0")
    button = naive.get_by_role("button", name="Reconcile now")
    button.click()
    expect(naive.locator("#notice")).to_contain_text("Press “Run with ledger” first.")
    switch_to(naive, "Run with ledger", "ledgered")
    button.click()
    run = naive.locator(".run[data-slug=reconcile]")
    expect(run).to_have_attribute("data-outcome", "seen", timeout=120_000)
    expect(run.locator(".said")).to_contain_text(re.compile("effects? repaired"))
    expect(naive.locator("[data-closed=naive] [data-now]").last).to_have_text("0")
    assert audit(demo)["lost"] == []
