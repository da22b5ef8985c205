"""Two releases of the shop: copies of this tree, changed as deploys change tasks.

*before* is this tree, and accepts one argument's and one task's coming names, as docs/deploying.md advises. *after*
uses the new names, and accepts the old ones for one release. It also removes a task, adds one, and adds an argument,
without any preparation in *before*.
"""

import os
import shutil
from pathlib import Path

from stack.supervisor import CHECKOUT

LEFT_OUT = shutil.ignore_patterns(".*", "var", "docs", "tests", "bench", "node_modules", "__pycache__")

RECEIPT = """@task(name="orders.mail_receipt", queue="critical", key="receipt:{number}", retry=PATIENT)
def mail_receipt(number: int) -> None:
    \"\"\"The receipt, with the invoice attached.\"\"\"
    emails.send_receipt(number)
"""
REPORT = """def mail_sales_report(day: str | None = None) -> None:"""
ANALYTICS = """def send_analytics(number: int) -> None:"""
SHIPMENT = """@task(name="orders.request_shipment", key="shipment:{number}", retry=PATIENT)
"""
RECOMMENDATIONS = """\
@task(name="orders.update_recommendations", queue="bulk", key="recommendations:{number}", atomic=True)
def update_recommendations(number: int) -> None:
    \"\"\"What was bought together.\"\"\"
    recommendations.learn_from(number)
"""

SHIP = """@task(name="orders.ship_order", key="shipment:{number}", retry=PATIENT)
def ship_order(number: int) -> None:
    \"\"\"Request the shipment at the warehouse.\"\"\"
    warehouse.request_shipment(number)


# Its other name, for one release.
"""
THANK = """@task(name="orders.thank", queue="bulk", key="thanks:{number}", retry=Retry(attempts=1))
def thank(number: int) -> int:
    \"\"\"A new task, whose jobs have a single attempt.\"\"\"
    return number
"""


def renaming(text: str, other: str, name: str) -> str:
    """The receipt's task, which accepts its argument's other name."""
    return text.replace("retry=PATIENT)", f'retry=PATIENT, renamed={{"{other}": "{name}"}})')


Changes = dict[str, list[tuple[str, str]]]  # file -> pairs of old and new text

BEFORE: Changes = {
    "orders/tasks.py": [
        (RECEIPT, renaming(RECEIPT, "order", "number")),
        (SHIPMENT, SHIP + SHIPMENT),
        (ANALYTICS, ANALYTICS.replace("number: int", 'number: int, source: str = ""')),
    ],
}
AFTER: Changes = {
    "orders/tasks.py": [
        (RECEIPT, renaming(RECEIPT.replace("number", "order"), "number", "order")),
        (SHIPMENT, SHIP + SHIPMENT),
        (ANALYTICS, ANALYTICS.replace("number: int", 'number: int, source: str = "web"')),
        (REPORT, REPORT.replace("None = None", 'None = None, to: str = ""')),
        (RECOMMENDATIONS, THANK),
    ],
    "orders/ordering/settlement.py": [
        ("tasks.request_shipment.call(number)", "tasks.ship_order.call(number)"),
        ("tasks.update_recommendations.call(number)", "tasks.thank.call(number)"),
    ],
}


class Releases:
    """The folders `before` and `after`, and the link `current`, in which all processes start."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.link = folder, folder / "current"
        for name, changes in (("before", BEFORE), ("after", AFTER)):
            make(folder / name, changes)
        self.switch("before")

    def switch(self, name: str) -> None:
        """Make a release the current one, for all processes that start from now on."""
        fresh = self.folder / "fresh"
        fresh.symlink_to(name)
        os.replace(fresh, self.link)

    @property
    def current(self) -> str:
        return os.readlink(self.link)


def make(folder: Path, changes: Changes) -> Path:
    """Copy this tree and change it. Raises ValueError if this tree does not contain a change's old text."""
    shutil.copytree(CHECKOUT, folder, ignore=LEFT_OUT)
    for name, edits in changes.items():
        text = (folder / name).read_text()
        for old, new in edits:
            if text.count(old) != 1:
                raise ValueError(f"{name} was changed, so tests/drill/releases.py has to change, too:\n{old}")
            text = text.replace(old, new)
        (folder / name).write_text(text)
    return folder
