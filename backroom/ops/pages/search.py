"""What the page of jobs is asked to search: its query string, without invalid parts."""

import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

from backroom.ops.pages.tabs import ALL, BY_NAME, Tab

LONGEST = 200  # characters of a filter


@dataclass(frozen=True)
class Search:
    """The filters and the position. `state` is a tab, `error` and `worker` are parts of the text, `begin` and `end`
    bound the tab's time. `after` is the last row of the page before: its time and its id."""

    q: str = ""
    state: str = ""
    task: str = ""
    queue: str = ""
    error: str = ""
    worker: str = ""
    begin: str = ""
    end: str = ""
    after: str = ""

    @property
    def tab(self) -> Tab:
        return BY_NAME.get(self.state, ALL)

    @property
    def filtered(self) -> bool:
        """Whether one of the filters is set that the form folds away."""
        return bool(self.task or self.queue or self.worker or self.begin or self.end)

    def address(self, **other: str) -> str:
        """The query string of this search with `other` parts, such as its next page."""
        return urlencode({name: value for name, value in {**asdict(self), **other}.items() if value})

    def elsewhere(self) -> str:
        """The query string without tab and position, for another tab."""
        return self.address(state="", after="")


def read(given: QueryDict) -> Search:
    """The search of a query string, without its invalid parts."""
    parts = {name: given.get(name, "").strip().replace("\x00", "")[:LONGEST] for name in asdict(Search())}
    for name in "begin", "end":
        moment = moment_of(parts[name])
        parts[name] = moment.replace(tzinfo=None).isoformat(timespec="minutes") if moment else ""
    if parts["state"] not in BY_NAME:
        parts["state"] = ""
    if position_of(parts["after"]) is None:
        parts["after"] = ""
    return Search(**parts)


def moment_of(text: str) -> datetime | None:
    """A time in UTC, as a browser's field or a link has it."""
    try:
        moment = parse_datetime(text)
        return moment and (make_aware(moment, UTC) if is_naive(moment) else moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def written(time: Any, id: uuid.UUID) -> str:
    """A position, as a link has it; position_of reads it."""
    return f"{time.isoformat() if isinstance(time, datetime) else ''},{id}"


def position_of(text: str) -> tuple[datetime | None, uuid.UUID] | None:
    time, _, id = text.partition(",")
    try:
        return moment_of(time), uuid.UUID(id)
    except ValueError:
        return None
