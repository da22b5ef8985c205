"""An account from sign-up to a new password, on a telephone's width, without a mouse."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.inbox import link_in
from tests.browser.keyboard import press, tab_to
from tests.browser.page_rules import mistakes, too_wide
from tests.browser.shopping import heading

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

EMAIL, OLD, NEW = "keyboard@example.org", "seven green apples", "nine ripe tomatoes"


def write(page: Page, **fields: str) -> None:
    """Fill in the fields by their labels, and send the form."""
    for label, text in fields.items():
        tab_to(page, page.get_by_label(label.replace("_", " "), exact=True))
        page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_an_account_is_made_verified_left_and_opened_with_a_new_password_by_keyboard(open_page: Callable):
    page = open_page(viewport={"width": 390, "height": 844})
    page.goto("/")
    press(page, page.get_by_role("link", name="Sign in"))
    press(page, page.get_by_role("link", name="Create an account"))
    write(page, Email=EMAIL, Password=OLD)
    expect(heading(page)).to_have_text("Check your email")
    page.goto(link_in("Confirm your email", EMAIL))
    write(page, Password=OLD)
    expect(heading(page)).to_have_text("Your account")
    for path in ("/accounts/email/", "/accounts/password/", "/accounts/"):
        page.goto(path)
        assert (too_wide(page), mistakes(page)) == (False, {}), path
    press(page, page.get_by_role("button", name="Sign out"))
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    press(page, page.get_by_role("link", name="Sign in"))
    press(page, page.get_by_role("link", name="Forgot your password?"))
    write(page, Email=EMAIL)
    expect(heading(page)).to_have_text("Check your email")
    page.goto(link_in("Reset your password", EMAIL))
    write(page, New_password=NEW)
    expect(heading(page)).to_have_text("Sign in")
    write(page, Email=EMAIL, Password=NEW)
    expect(page.get_by_text(f"You are signed in as {EMAIL}.")).to_be_visible()
