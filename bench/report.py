"""Writes docs/benchmarks.md, its plots and the README's figure out of var/bench: `python -m bench.report`.

The short form writes var/bench/quick.md only. bench/requirements.txt has matplotlib.
"""

import re

from bench import plots, results
from bench.document import EXTRA, document, drawn, headline, picture, targets
from bench.sections import SECTIONS
from bench.targets import Measured
from stack.environment import CHECKOUT

DOCUMENT = CHECKOUT / "docs" / "benchmarks.md"
README = CHECKOUT / "README.md"
IMAGES = CHECKOUT / "docs" / "images"
BLOCK = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)


def main() -> None:
    names = *(section.name for section in SECTIONS), *EXTRA
    saved = {name: each for name in names if (each := results.load(name))}
    found = Measured({name: each["rows"] for name, each in saved.items()})
    if not found.rows:
        raise SystemExit("nothing was measured: var/bench is empty")
    text = document(found, saved)
    if results.quick():
        short = results.FOLDER / "quick.md"
        short.write_text(text)
        print(f"{targets(found)}\n\nAll of it is in {short.relative_to(CHECKOUT)}")
        return
    DOCUMENT.write_text(text)
    for section in drawn(found):
        function, arguments, options = section.plot(found)  # type: ignore[misc]
        getattr(plots, function)(IMAGES / f"bench-{section.name}.svg", *arguments, **options)
    if headline(found):
        block = f"{headline(found)}\n\n{picture(SECTIONS[0], 'docs/images')}\n"
        README.write_text(BLOCK.sub(lambda _: block, README.read_text()))


if __name__ == "__main__":
    main()
