"""Two releases of the shop: copies of this tree, changed as deploys do change tasks.

*before* is this tree, and has learned that an argument and a task will be renamed and an argument added, as
docs/deploying.md advises. *after* does so, and takes the former names for one release. Unannounced, it removes a task,
has a new one, and gives another an argument.
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
    \"\"\"The warehouse is asked to send the order.\"\"\"
    warehouse.request_shipment(number)


# Its other name, for one release.
"""
THANK = """@task(name="orders.thank", queue="bulk", key="thanks:{number}", retry=Retry(attempts=1))
def thank(number: int) -> int:
    \"\"\"A new task, whose jobs have a single attempt.\"\"\"
    return number
"""


def renaming(text: str, there: str, here: str) -> str:
    """The receipt's task, knowing its argument's other name."""
    return text.replace("retry=PATIENT)", f'retry=PATIENT, renamed={{"{there}": "{here}"}})')


Changes = dict[str, list[tuple[str, str]]]  # file → what stands there and what takes its place

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
    "orders/settlement.py": [
        ("tasks.request_shipment.call(number)", "tasks.ship_order.call(number)"),
        ("tasks.update_recommendations.call(number)", "tasks.thank.call(number)"),
    ],
}


class Releases:
    """The folders `before` and `after`, and the link `current`, on which all processes start."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.link = folder, folder / "current"
        for name, changes in (("before", BEFORE), ("after", AFTER)):
            make(folder / name, changes)
        self.switch("before")

    def switch(self, name: str) -> None:
        """Make a release the current one: whatever starts from now on is of it."""
        fresh = self.folder / "fresh"
        fresh.symlink_to(name)
        os.replace(fresh, self.link)

    @property
    def current(self) -> str:
        return os.readlink(self.link)


def make(folder: Path, changes: Changes) -> Path:
    """A release: this tree, changed. Raises ValueError where this tree has moved on and the changes don't fit."""
    shutil.copytree(CHECKOUT, folder, ignore=LEFT_OUT)
    for name, edits in changes.items():
        text = (folder / name).read_text()
        for there, instead in edits:
            if text.count(there) != 1:
                raise ValueError(
                    f"{name} was changed: mend the drill's releases (tests/drill/releases.py), too:\n{there}"
                )
            text = text.replace(there, instead)
        (folder / name).write_text(text)
    return folder
