"""Rules for every page: its colours by day and by night, and mistakes that it must not contain."""

from playwright.sync_api import Page

PAPER = {"light": "rgb(251, 247, 238)", "dark": "rgb(20, 26, 22)"}

# Mistakes in a page. Each query returns the elements that make them.
MISTAKES = {
    "a field without a label": """
        [...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
          .filter(field => !field.labels.length)""",
    "a picture without an alt": """[...document.querySelectorAll("img:not([alt])")]""",
    "a link or button without a name": """
        [...document.querySelectorAll("a[href]:not([aria-hidden]), button")].filter(pressed =>
          !pressed.textContent.trim() && !pressed.querySelector("img[alt]:not([alt=''])"))""",
    "an id given twice": """
        [...document.querySelectorAll("[id]")].filter(one =>
          document.querySelectorAll(`[id="${one.id}"]`).length > 1)""",
    "a description that is not there": """
        [...document.querySelectorAll("[aria-describedby], [aria-labelledby]")].filter(one =>
          [one.getAttribute("aria-describedby"), one.getAttribute("aria-labelledby")].join(" ").split(" ")
            .some(id => id && !document.getElementById(id)))""",
    "a jump in the headings": """
        [...document.querySelectorAll("h1, h2, h3, h4")].filter((one, at, all) =>
          at && one.tagName[1] - all[at - 1].tagName[1] > 1)""",
}


# What a click asked for is there before its style sheet, so each of these waits for the page's load.


def paper(page: Page) -> str:
    """Its colour."""
    page.wait_for_load_state()
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def too_wide(page: Page) -> bool:
    """Whether it is wider than its window."""
    page.wait_for_load_state()
    return page.evaluate("document.scrollingElement.scrollWidth > innerWidth")


def mistakes(page: Page) -> dict[str, list[str]]:
    """The elements that make a mistake, by its name; {} for none."""
    page.wait_for_load_state()
    found = {wrong: page.evaluate(f"() => {query}.map(one => one.outerHTML)") for wrong, query in MISTAKES.items()}
    return {wrong: elements for wrong, elements in found.items() if elements}
