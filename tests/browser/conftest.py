"""One house of real processes for the whole folder, a real Chromium, and a watch over what its pages do.

The tests share the database, so each looks only at orders of its own.
"""

import shutil
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import urllib3
from celery import current_app
from django.core.management import call_command
from django.db import connections
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests import truncate
from tests.cluster import Cluster

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")  # the first takes half the CPU
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-software-rasterizer", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 60_000  # milliseconds; as long as two busy cores may need for what takes one second

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="package")
def chromium() -> str:
    """Where this machine's Chromium is."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"browser test: no Chromium on this machine (looked for {', '.join(NAMES)})")
    return found


@pytest.fixture(scope="package")
def house(chromium, django_db_setup, django_db_blocker, partners_process, tmp_path_factory) -> Iterator[Cluster]:
    """The shop open for business; everything it wrote is gone afterwards."""
    with django_db_blocker.unblock():
        current_app.control.purge()
        call_command("seed", verbosity=0)
        house = Cluster(tmp_path_factory.mktemp("house"))
        try:
            house.start("web", "worker-critical", "worker-default", "worker-bulk", "dispatcher")
            yield house
        finally:
            house.stop()
            truncate.tables()


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for all tests."""
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        # Playwright keeps an event loop in this thread, so Django takes the tests for coroutines and refuses its ORM.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()
        connections.close_all()  # beside an event loop Django keeps connections of their own


@pytest.fixture
def troubles() -> list[str]:
    """Errors in the console, failed requests and requests to other hosts. A test removes those that it provokes on
    purpose. Any left at its end fail it."""
    return []


@pytest.fixture
def open_page(house: Cluster, browser: Browser, partners_process: str, troubles: list[str]) -> Iterator[Callable]:
    """A new visitor's page, without faults at any partner; takes what `browser.new_context` takes."""
    urllib3.request("POST", f"{partners_process}/reset")
    urllib3.request("PUT", f"{partners_process}/webhooks", json={"url": house.site})
    contexts = []

    def open_page(**options: object) -> Page:
        context = browser.new_context(base_url=house.site, reduced_motion="reduce", **options)  # motion costs the CPU
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch(page, house.site, troubles)
        return page

    yield open_page
    seen = list(troubles)
    for context in contexts:
        context.close()
    assert seen == []


@pytest.fixture
def page(open_page: Callable) -> Page:
    """A new visitor with an ordinary browser."""
    return open_page()


def watch(page: Page, site: str, troubles: list[str]) -> None:
    """Note everything that should not happen in a page."""

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            troubles.append(f"console: {message.text}")

    def request(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(site).netloc:
            troubles.append(f"to another host: {request.url}")

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # which is how a download, and a look left unfinished, end
            troubles.append(f"failed: {request.url} {request.failure}")

    page.on("console", console)
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on("request", request)
    page.on("requestfailed", failed)
