"""The lab's page: press its buttons and read its results."""

import re

from playwright.sync_api import Locator, Page, expect

from lab.experiments import BY_SLUG

SWITCH = 200_000  # milliseconds; ten seconds on an idle machine


def press(page: Page, slug: str) -> Locator:
    """Press an experiment's button. Returns the part of the page with its run."""
    page.locator(f"#{slug}").get_by_role("button").click()
    return page.locator(f".run[data-slug={slug}]")


def see(page: Page, slug: str) -> str:
    """Run an experiment until its expected result. Returns the result as the page shows it."""
    run = press(page, slug)
    expect(run).to_have_attribute("data-outcome", re.compile("."), timeout=1000 * (BY_SLUG[slug].longest + 20))
    expect(page.locator("#live")).to_have_attribute("data-busy", "no")
    assert run.get_attribute("data-outcome") == "seen", run.inner_text()
    return run.locator(".said").inner_text()


def figure(page: Page, name: str) -> Locator:
    """One of the figures on top."""
    return page.locator(f"[data-figure={name}]")


def switch_to(page: Page, button: str, variant: str) -> None:
    """Start the other shop."""
    page.get_by_role("button", name=button).click()
    expect(page.locator("#live")).to_have_attribute("data-variant", variant, timeout=SWITCH)
    expect(page.locator("#live")).to_have_attribute("data-busy", "no", timeout=SWITCH)
