"""A customer without a mouse: Tab until it is there, with the focus in sight at every stop, then press."""

from playwright.sync_api import Locator, Page

STOPS = 80  # of the Tab key, more than any page needs

# What has the focus is within the window, and it, its card or its label has an outline. Gives what is not so.
IN_SIGHT = """() => {
  const focused = document.activeElement, box = focused.getBoundingClientRect();
  const within = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const outlined = (element, pseudo) => {
    const style = getComputedStyle(element, pseudo);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  };
  const seen = outlined(focused) || outlined(focused, "::after") || outlined(focused.closest("label") ?? focused);
  return within && seen ? "" : focused.outerHTML;
}"""


def tab_to(page: Page, goal: Locator) -> None:
    """Press Tab until the goal has the focus."""
    goal.wait_for()
    page.wait_for_load_state()  # race: the goal is there before the style sheet is, and then no outline is ours
    for _ in range(STOPS):
        page.keyboard.press("Tab")
        hidden = page.evaluate(IN_SIGHT)
        assert not hidden, f"has the focus, but is out of sight: {hidden}"
        if has_focus(goal):
            return
    raise AssertionError(f"{STOPS} times Tab did not reach {goal}")


def press(page: Page, goal: Locator, key: str = "Enter") -> None:
    """Tab to the goal and press a key on it."""
    tab_to(page, goal)
    page.keyboard.press(key)


def has_focus(goal: Locator) -> bool:
    """By its id, if it has one. Race: a poll replaces the element between the look for it and the comparison, and the
    new one, with the same id, has the focus."""
    same = "element.id ? element.id === document.activeElement.id : element === document.activeElement"
    return goal.evaluate(f"element => {same}")
