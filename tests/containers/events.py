"""Docker's events. The daemon keeps the last 256 only, so this reads them as they come."""

import json
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.containers.engine import ENV, INSIDE

KINDS = ("start", "die", "health_status")


class Events:
    """Starts, ends and health of the containers, during a `with` block, in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> Self:
        filters = [word for kind in KINDS for word in ("--filter", f"event={kind}")]
        command = [*INSIDE, "docker", "events", "--format={{json .}}", *filters]
        with self.file.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, env=ENV)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def seen(self) -> list[dict[str, Any]]:
        """A line that Docker has not finished is left out."""
        lines = self.file.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def seconds_to_healthy(self, name: str) -> float:
        """From a container's first start to its first passed health check."""
        times = {event["Action"]: event["timeNano"] for event in reversed(self.seen()) if name_of(event) == name}
        return (times["health_status: healthy"] - times["start"]) / 1e9

    def exits(self, since: float) -> dict[str, int]:
        """The exit statuses of the containers that ended since this time."""
        ended = [event for event in self.seen() if event["Action"] == "die" and event["time"] >= since]
        return {name_of(event): int(event["Actor"]["Attributes"]["exitCode"]) for event in ended}


def name_of(event: dict[str, Any]) -> str:
    return event["Actor"]["Attributes"].get("name", "")
