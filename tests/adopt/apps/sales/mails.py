"""A mail that a test can hold in its middle: it begins, waits for the file `gate`, and is sent."""

import os
import time
from pathlib import Path

FOLDER = Path(os.environ["FOLDER"])


def send_receipt(order, message_id: str) -> None:
    write("started", message_id)
    while not (FOLDER / "gate").exists():
        time.sleep(0.05)
    write("sent", f"{message_id} to {order.email}")


def write(name: str, line: str) -> None:
    with (FOLDER / name).open("a") as file:
        file.write(f"{line}\n")
