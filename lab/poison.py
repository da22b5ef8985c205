"""The poison job's switch, and how often the job ran: two files in the lab's folder, as its process dies."""

from pathlib import Path

from django.conf import settings


class Poison:
    """The switch and the count of the poison job with this name."""

    def __init__(self, name: str) -> None:
        self.switch = Path(settings.VAR) / "lab" / f"poison-{name}"
        self.log = self.switch.with_suffix(".runs")

    def arm(self) -> None:
        self.switch.touch(mode=0o600)

    def armed(self) -> bool:
        return self.switch.exists()

    def count_run(self) -> None:
        """Called by the job when it begins."""
        with self.log.open("a") as log:
            log.write("x")

    def runs(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0


def disarm_all() -> None:
    for file in (Path(settings.VAR) / "lab").glob("poison-*"):
        file.unlink(missing_ok=True)
