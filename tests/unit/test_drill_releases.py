"""The two releases of `make deploy-drill` are copies of this tree, and follow its changes."""

import ast

from tests.drill import releases


def test_both_releases_can_be_made_of_this_tree(tmp_path):
    for name, changes in (("before", releases.BEFORE), ("after", releases.AFTER)):
        folder = releases.make(tmp_path / name, changes)
        for changed in changes:
            ast.parse((folder / changed).read_text())


def test_the_link_leads_to_one_release_or_the_other(tmp_path):
    (tmp_path / "releases").mkdir()
    both = releases.Releases(tmp_path / "releases")
    assert both.current == "before"
    both.switch("after")
    assert "orders.thank" in (both.link / "orders" / "follow_ups.py").read_text()
    assert "orders.thank" not in (both.folder / "before" / "orders" / "follow_ups.py").read_text()
