"""How the tests stand to each other."""

import re

from stack.supervisor import CHECKOUT

IMPORT = re.compile(r"^\s*(?:from|import) tests\.\S*\btest_\w+", re.MULTILINE)


def test_no_module_imports_a_test_module():
    modules = CHECKOUT.glob("tests/**/*.py")
    assert [(module.name, found) for module in modules for found in IMPORT.findall(module.read_text())] == []
