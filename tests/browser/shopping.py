"""What a customer does on the way to an order, and what the order's page then says."""

import re

from playwright.sync_api import Locator, Page, expect

PAID = re.compile(r"^Order \d+ is confirmed$")
CUSTOMER = {
    "Email": "customer@example.org",
    "Name": "Łucja Čapek",
    "Street and number": "1 Market Street",
    "Postcode": "D01",
    "City": "Dublin",
}
OWN = {"invoice", "receipt", "capture", "shipment", "loyalty"}
FOLLOW_UPS = OWN | {"fraud", "analytics", "recommendations"}


def put_in_cart(page: Page, slug: str) -> None:
    """From the product's page to the cart."""
    page.goto(f"/products/{slug}/")
    page.get_by_role("main").locator(".buy").get_by_role("button", name="Add to cart").click()
    expect(page).to_have_url(re.compile(r"/cart/$"))


def check_out(page: Page, card: str = "demo-approve") -> None:
    """From the cart through the filled form; what follows is not waited for."""
    page.get_by_role("link", name="Check out").click()
    for label, text in CUSTOMER.items():
        page.get_by_label(label, exact=True).fill(text)
    page.locator(f"input[name=card][value={card}]").check()
    page.get_by_role("button", name="Buy now").click()


def heading(page: Page) -> Locator:
    return page.get_by_role("heading", level=1)


def row(page: Page, kind: str) -> Locator:
    """A job's line in the timeline."""
    return page.locator(f"li.job[data-kind={kind}]")


def show_whole_back_room(page: Page) -> None:
    """The jobs that are not the customer's own, too."""
    page.get_by_role("link", name="Show the whole back room").click()


def expect_all_green(page: Page, kinds: set[str] = FOLLOW_UPS) -> None:
    """Every follow-up is there and done, and the page says so."""
    expect(page.locator(".rest")).to_be_visible()
    states = page.locator("li.job").evaluate_all("rows => rows.map(row => [row.dataset.kind, row.dataset.state])")
    assert dict(states).keys() >= kinds
    assert {state for _, state in states} == {"done"}, states


def order_number(page: Page) -> int:
    """Of the order whose page this is."""
    found = re.search(r"/orders/(\d+)/\?token=", page.url)
    assert found, page.url
    return int(found.group(1))


def download_invoice(page: Page, press) -> bytes:
    """The file that comes when the link is pressed."""
    with page.expect_download() as download:
        press(page.get_by_role("link", name="Download the invoice (PDF)"))
    assert download.value.suggested_filename == f"invoice-{order_number(page)}.pdf"
    return download.value.path().read_bytes()


def only_answers(troubles: list[str], status: int) -> bool:
    """Whether all that went wrong is one page with this status, which Chromium says aloud; it is forgiven then."""
    as_meant = len(troubles) == 1 and f"responded with a status of {status} " in troubles[0]
    if as_meant:
        troubles.clear()
    return as_meant
