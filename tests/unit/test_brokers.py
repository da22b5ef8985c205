"""What the suite of each broker leaves out is there, and has a reason."""

from stack.brokers import MAKERS
from stack.supervisor import CHECKOUT
from tests.broker_suite import document
from tests.brokers import CANNOT
from tests.chaos.rows import ALL


def test_each_exception_of_a_broker_is_of_a_test_or_row_that_exists():
    names = [f"row: {row.fault}" for row in ALL]
    for file in (CHECKOUT / "tests" / "acceptance").glob("test_*.py"):
        tests = [line[4:].partition("(")[0] for line in file.read_text().splitlines() if line.startswith("def test_")]
        names += [f"{file.relative_to(CHECKOUT)}::{name}" for name in tests]
    parts = {part for each in CANNOT.values() for part in each}
    assert [part for part in parts if not any(part in name for name in names)] == []


def test_each_broker_has_exceptions_and_a_title():
    assert set(MAKERS) == set(CANNOT) == set(document.TITLES)
