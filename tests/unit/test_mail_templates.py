"""Every mail of the shop is made of the one layout, as text and as HTML, and needs no picture."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAILS = sorted([*ROOT.glob("*/templates/*/mail/[a-z]*.html"), ROOT / "accounts/templates/accounts/mail.html"])


@pytest.mark.parametrize("html", MAILS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_mail_extends_the_layout_says_why_it_comes_and_has_a_text(html: Path):
    text = html.with_suffix(".txt").read_text()
    for words, ending in ((html.read_text(), "html"), (text, "txt")):
        (base,) = re.findall(r'{% extends "([^"]+)\.' + ending + '" %}', words)
        assert base in ("notifications/mail", "marketing/mail/base")
        assert "{% block reason %}" in words or base == "marketing/mail/base"


@pytest.mark.parametrize("html", MAILS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_mail_loads_nothing(html: Path):
    assert not re.search(r"<(img|link|script|iframe|object)\b|url\(|\bsrc=", html.read_text(), re.IGNORECASE)


@pytest.mark.parametrize("html", MAILS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_column_of_amounts_does_not_break_a_number(html: Path):
    """The layout breaks long words anywhere, so a narrow client shows €5.6 above 5."""
    cells = [cell for cell in re.findall(r"<t[hd][^>]*>", html.read_text()) if "text-align:right" in cell]
    assert [cell for cell in cells if "white-space:nowrap" not in cell] == []
