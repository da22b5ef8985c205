"""How much memory processes take, as Linux tells it."""

from collections.abc import Iterable


def taken(pids: Iterable[int]) -> int | None:
    """Bytes, what they share counted once (PSS); None where that can't be known. About 1 ms for each process."""
    try:
        return sum(_proportional(pid) for pid in pids)
    except (OSError, StopIteration):  # not Linux, or a child has just gone
        return None


def _proportional(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
