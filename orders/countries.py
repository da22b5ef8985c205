"""The countries of the world by their ISO 3166-1 alpha-2 codes, as the time zone database (public domain) has them."""

from pathlib import Path

_LINES = (Path(__file__).parent / "countries.txt").read_text(encoding="utf-8").splitlines()
COUNTRIES: dict[str, str] = dict(line.split("\t") for line in _LINES)
