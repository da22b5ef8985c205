"""Documents as PDF, by typst.

typst starts threads with its first document, and a process that forks after that hangs in its next one. So nothing is
rendered at import: workers load this module and fork, and their children render. A document takes 10 to 100 ms.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import typst

from catalog import fonts

TEMPLATES = Path(__file__).parent / "typst"
SELLER = {
    "name": "Backroom Greengrocer",
    "address": ["7 Market Hall Lane", "QT1 2AB Quincetown"],
    "email": "shop@backroom.example",
    "vat_number": "XX 123 456 789",
}


def render(template: str, data: dict[str, Any]) -> bytes:
    """The PDF that a template makes of the data, with its `made_at` (Unix time); the same data give the same bytes.

    It uses only the fonts in the wheels, so a document looks the same on every machine.
    """
    return typst.compile(
        TEMPLATES / template,
        format="pdf",
        sys_inputs={"data": json.dumps(data)},
        font_paths=typefaces(),
        timestamp=data["made_at"],
    )


@cache
def typefaces() -> typst.Fonts:
    """typst's own, and those of catalog/fonts.py."""
    return typst.Fonts(include_system_fonts=False, font_paths=[fonts.FOLDER])
