"""A task's lane, as it is declared: `limit`, `in_order` and `fair` are one mechanism (backroom/ledger/lanes.py)."""

from typing import NamedTuple

FAIR = 32  # jobs of one name in the broker: enough for a worker of many children, and others wait for no more
LIMIT = 220  # characters of its name, as the column has


class Lane(NamedTuple):
    """At most `places` jobs of this name are ready or running at a time. With `dead_blocks` not None they run strictly
    in order, and it says whether a dead letter holds back those behind it. A declared one's name is a format."""

    name: str
    places: int
    dead_blocks: bool | None = None


def declared(
    limit: tuple[str, int] | None, in_order: str | None, dead_blocks: bool, fair: str | tuple[str, int] | None
) -> Lane | None:
    """The lane of a task with these options. Raises TypeError for what makes no sense."""
    if sum(option is not None for option in (limit, in_order, fair)) > 1:
        raise TypeError("a job has one lane: give limit, in_order or fair")
    if dead_blocks and in_order is None:
        raise TypeError("dead_blocks belongs to in_order")
    if in_order is not None:
        return _lane("in_order", in_order, 1, dead_blocks)
    if limit is not None:
        return _lane("limit", *(limit if isinstance(limit, tuple) and len(limit) == 2 else (limit, 0)))
    if fair is not None:
        return _lane("fair", *(fair if isinstance(fair, tuple) and len(fair) == 2 else (fair, FAIR)))
    return None


def _lane(option: str, name: object, places: object, dead_blocks: bool | None = None) -> Lane:
    if not isinstance(name, str) or type(places) is not int or not 1 <= places < 2**15:
        raise TypeError(f"{option} is {EXAMPLES[option]}, with 1 to 32767 jobs at a time, not {name!r}, {places!r}")
    return Lane(f"{option.removeprefix('in_')}:{name}", places, dead_blocks)


EXAMPLES = {
    "limit": '("endpoint:{id}", 3)',
    "in_order": '"customer:{id}"',
    "fair": '"campaign:{id}" or ("campaign:{id}", 8)',
}
