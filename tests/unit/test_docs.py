"""The documents name tests, files, commands and functions: each of them exists. They and the ledger stay short."""

import inspect
import re
from pathlib import Path

import pytest

from backroom.ledger import batches, enqueueing, lanes, operations, rescue, transitions

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = [ROOT / "docs" / name for name in ("crash-matrix.md", "benchmarks.md")]
COMPARISON = ROOT / "docs" / "compare.md"  # two tables whose words are links: no reader reads them through
BENCHMARK = re.compile(r"<!-- bench -->\n(.*?)<!-- /bench -->", re.DOTALL)  # bench.report writes it
MEASURED = re.compile(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", re.DOTALL)  # that one, and those of bench/outcome.py
LIMIT = 21_100  # words in all documents but what runs write, a screen a feature; a tenth is security.md
LEDGER = 1_200  # lines of backroom/ledger in all
TESTS = {
    name
    for file in (ROOT / "tests").rglob("*.py")
    for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
}
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
ROOMS = {path.name for path in ROOT.iterdir() if path.is_dir() and (path / "__init__.py").exists()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_what_a_document_names_is_there(document: Path):
    text = document.read_text()
    files = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    assert set(re.findall(r"`(test_\w+)`", text)) - TESTS - files == set()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (document.parent / link).exists()] == []
    assert [target for target in re.findall(r"`make ([a-z-]+)", text) if target not in TARGETS] == []
    paths = [path for path in re.findall(r"`(\w+/[\w/.-]+)`", text) if path.partition("/")[0] in ROOMS]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_picture_of_a_document_is_there_for_a_light_and_a_dark_page(document: Path):
    for picture in re.findall(r"<picture>.*?</picture>", document.read_text(), re.DOTALL):
        light, dark = (re.findall(rf'\b{name}="([^"]+)"', picture) for name in ("src", "srcset"))
        assert light != dark
        assert [path for path in light + dark if not (document.parent / path).exists()] == []


def test_the_readme_repeats_the_benchmarks():
    (block,) = BENCHMARK.findall((ROOT / "README.md").read_text())
    sentence, _, _ = block.partition("<picture>")
    assert sentence.strip() in (ROOT / "docs" / "benchmarks.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_link_to_a_section_finds_its_heading(document: Path):
    for link, section in re.findall(r"\]\(([^)\s#]*)#([\w-]+)\)", document.read_text()):
        if "://" not in link:
            target = document.parent / link if link else document
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert section in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


def test_each_word_of_the_comparison_has_its_source():
    text = COMPARISON.read_text()
    sources = re.findall(r"^\[([\w-]+)\]: https://\S+$", text, re.MULTILINE)
    assert sorted(sources) == sorted(set(re.findall(r"\]\[([\w-]+)\]", text)))
    table, _, _ = text.partition("## Where others are better")
    cells = [cell for row in re.findall(r"^\| \w.*", table, re.MULTILINE) for cell in row.strip("|").split("|")[1:]]
    assert len(cells) > 200
    assert [cell for cell in cells if cell != " ? " and not re.search(r"\]\[|\]\(", cell)] == []


def test_the_core_explains_every_function_of_the_ledger():
    text = (ROOT / "docs" / "core.md").read_text()
    functions = [
        name
        for module in (transitions, operations, rescue, lanes, batches, enqueueing)
        for name, found in inspect.getmembers(module, inspect.isfunction)
        if found.__module__ == module.__name__ and not name.startswith("_")
    ]
    assert len(functions) > 16
    assert [name for name in functions if f"`{name}`" not in text] == []


def test_the_ledger_can_be_read_in_an_hour():
    lines = {file.name: len(file.read_text().splitlines()) for file in (ROOT / "backroom" / "ledger").glob("*.py")}
    assert sum(lines.values()) <= LEDGER, lines


def test_the_documents_can_be_read():
    texts = {document.name: document.read_text() for document in DOCUMENTS if document not in [*GENERATED, COMPARISON]}
    words = {name: len(MEASURED.sub("", text).split()) for name, text in texts.items()}
    assert sum(words.values()) <= LIMIT, words
