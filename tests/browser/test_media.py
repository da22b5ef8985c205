"""Pictures from the upload to the shop window: staff upload, a visitor sees, enlarges and turns over."""

import io
from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model
from PIL import Image
from playwright.sync_api import Page, expect

from catalog.models import Product
from tests.browser.page_rules import mistakes, too_wide
from tests.browser.staff import PASSWORD, log_in
from tests.cluster import Cluster

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.slow]
SHIFTS = """() => new Promise(done => {
    let sum = 0;
    new PerformanceObserver(list => list.getEntries().forEach(shift => { sum += shift.value; }))
      .observe({type: "layout-shift", buffered: true});
    requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
})"""


@pytest.fixture(scope="module")
def feta(house: Cluster) -> Product:
    """Of the module's scope, as what a test itself writes is never committed."""
    get_user_model().objects.create_superuser("decorator", "decorator@example.com", password=PASSWORD)
    house.start("worker-media")
    return Product.objects.get(slug="feta")


def picture(name: str, size: tuple[int, int], colour: str) -> dict:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}


def test_staff_upload_pictures_and_a_visitor_enlarges_them(
    house: Cluster, feta: Product, open_page: Callable, page: Page
):
    page.goto(f"/admin/catalog/product/{feta.pk}/change/")
    log_in(page, "decorator")
    page.get_by_role("link", name="Pictures and clips").click()
    broken = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}
    files = [picture("wide.png", (1600, 900), "teal"), picture("tall.png", (600, 900), "tomato"), broken]
    page.get_by_label("Pictures and clips", exact=True).set_input_files(files)
    page.get_by_role("button", name="Upload").click()
    rows = page.locator("#media > li")
    expect(rows).to_have_count(3)
    rows.nth(1).get_by_label("Description").fill("A slice, standing")
    expect(rows.nth(0)).to_contain_text("published")
    expect(rows.nth(1)).to_contain_text("published")
    expect(rows.nth(2)).to_contain_text("This is no JPEG")
    expect(rows.nth(1).get_by_label("Description")).to_have_value("A slice, standing")  # the swaps left it alone
    rows.nth(1).get_by_role("button", name="Save").click()
    expect(page.locator("#said")).to_have_text("Saved.")
    page.once("dialog", lambda dialog: dialog.accept())
    rows.nth(2).get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(2)

    visitor = open_page(viewport={"width": 390, "height": 844})
    visitor.goto("/products/?q=feta")
    expect(visitor.locator(".card picture img")).to_have_js_property("complete", True)
    assert visitor.locator(".card picture img").evaluate("image => image.currentSrc").endswith(".avif")
    assert visitor.evaluate(SHIFTS) < 0.01
    visitor.goto("/products/feta/")
    assert (too_wide(visitor), mistakes(visitor)) == (False, {})
    expect(visitor.locator(".slides picture img").first).to_have_js_property("complete", True)
    assert visitor.evaluate(SHIFTS) < 0.01
    visitor.locator(".slides a").first.focus()
    visitor.keyboard.press("Enter")
    large = visitor.get_by_role("dialog").locator("picture img")
    expect(large).to_be_visible()
    visitor.keyboard.press("ArrowRight")
    expect(large).to_have_attribute("alt", "A slice, standing")
    visitor.get_by_role("button", name="Zoom").click()
    expect(visitor.get_by_role("button", name="Zoom")).to_have_attribute("aria-pressed", "true")
    visitor.keyboard.press("Escape")
    expect(large).to_be_hidden()
    expect(visitor.locator(".slides a").nth(1)).to_be_focused()
