"""How staff get in."""

from playwright.sync_api import Page

PASSWORD = "a greengrocer's"


def log_in(page: Page, name: str) -> None:
    """Through the login on which the page stands."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
