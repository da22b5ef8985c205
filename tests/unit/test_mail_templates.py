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
