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

RECEIPT = """        effect=("mail", "receipt"), after="invoice", stops=True, queue="critical", retry=PATIENT,
"""
SENDING = "def send_receipt(number: int) -> None:\n"
REPORT = """def mail_sales_report(day: str | None = None, slot_time: str = "") -> None:"""
ANALYTICS = """def send_order_paid(number: int) -> None:"""
ARGUMENTS = """        arguments = {self.argument: number}
"""
SHIPMENT = '"shipment", "orders.request_shipment"'
RECOMMENDATIONS = """\
        "recommendations", "orders.update_recommendations", "orders.fulfilment.recommendations.learn_from",
        "Recommendations", "The recommendations could not be updated. We will try again.",
        counted=Q(learned=True), internal=True, queue="bulk", atomic=True,
"""
LEARNING = "def learn_from("
DECLARED = """    declare(each)
"""

ALIAS = """
NAME = task(name="orders.{name}", key="shipment:{{number}}", retry=PATIENT)
NAME(import_string("orders.fulfilment.warehouse.request_shipment"))
"""
THANKS = """\
        "thanks", "orders.thank", "orders.fulfilment.recommendations.thank", "Thanks", "We will try again.",
        queue="bulk", retry=Retry(attempts=1),
"""
THANK = """def thank(number: int) -> int:
    \"\"\"A new task, whose jobs have a single attempt.\"\"\"
    return number


"""


Changes = dict[str, list[tuple[str, str]]]  # file -> pairs of old and new text

BEFORE: Changes = {
    "orders/follow_ups.py": [(RECEIPT, RECEIPT + '        renamed={"order": "number"},\n')],
    "orders/tasks.py": [(DECLARED, DECLARED + ALIAS.format(name="ship_order"))],
    "orders/fulfilment/analytics.py": [(ANALYTICS, ANALYTICS.replace("number: int", 'number: int, source: str = ""'))],
}
AFTER: Changes = {
    "orders/follow_ups.py": [
        (RECEIPT, RECEIPT + '        argument="order", renamed={"number": "order"},\n'),
        (SHIPMENT, SHIPMENT.replace("request_shipment", "ship_order")),
        (RECOMMENDATIONS, THANKS),
        (ARGUMENTS, ARGUMENTS + '        arguments |= {"source": "web"} if self.kind == "analytics" else {}\n'),
    ],
    "orders/tasks.py": [
        (DECLARED, DECLARED + ALIAS.format(name="request_shipment")),
        (REPORT, REPORT.replace("None = None", 'None = None, to: str = ""')),
    ],
    "orders/fulfilment/emails.py": [(SENDING, SENDING.replace("number", "order") + "    number = order\n")],
    "orders/fulfilment/recommendations.py": [(LEARNING, THANK + LEARNING)],
    "orders/fulfilment/analytics.py": [
        (ANALYTICS, ANALYTICS.replace("number: int", 'number: int, source: str = "web"'))
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
