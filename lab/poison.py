"""A bottle of poison: a file that a job looks at. It also tells how many processes have died of it."""

from pathlib import Path

from django.conf import settings


class Poison:
    """The bottle of this name, in the lab's folder."""

    def __init__(self, name: str) -> None:
        self.bottle = Path(settings.VAR) / "lab" / f"poison-{name}"
        self.tally = self.bottle.with_suffix(".tasted")

    def fill(self) -> None:
        self.bottle.touch(mode=0o600)

    def full(self) -> bool:
        return self.bottle.exists()

    def tasted(self) -> None:
        """Somebody runs the job."""
        with self.tally.open("a") as tally:
            tally.write("x")

    def tastes(self) -> int:
        """How often it ran."""
        return self.tally.stat().st_size if self.tally.exists() else 0


def empty_all() -> None:
    """No bottle holds poison any more."""
    for bottle in (Path(settings.VAR) / "lab").glob("poison-*"):
        bottle.unlink(missing_ok=True)
