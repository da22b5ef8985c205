"""A call: a task with its arguments and options, and the row that it becomes."""

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from celery import current_app

from backroom.runtime import argument_types, lane, storable
from backroom.runtime.duplicates import Unique
from backroom.runtime.lane import Lane


def new_id() -> str:
    """A UUID of version 7 (RFC 9562, 6.2, method 3: 12 bits of time below a millisecond). A process's ids sort in the
    order in which it made them, and the primary key finds the newest jobs."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    parts = (milliseconds << 80) | (7 << 76) | ((rest * 4096 // 1_000_000) << 64) | (2 << 62)
    text = f"{parts | secrets.randbits(62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True)
class Call:
    """A task with its arguments, not yet enqueued: what `task.call(...)` returns.

    `max_attempts` and `key` come from the task's declaration; `followers` are enqueued with it and run one after
    the other, each when the one before has succeeded. `takes_result` names the argument that gets its result.
    """

    task: str
    args: dict[str, Any]
    queue: str
    max_attempts: int
    key: str | None = None
    run_after: timedelta | datetime | None = None
    takes_result: str = ""
    id: str | None = None
    shed: bool = False  # whether a full queue may refuse it
    lane: Lane | None = None
    expires: timedelta | datetime | None = None  # cancelled if not begun by then
    unique: Unique | None = None
    batch_id: str | None = None
    opens_batch: bool = False  # whether it is a batch's callback, which waits for itself until the batch releases it
    followers: tuple["Call", ...] = ()

    def then(self, *calls: "Call") -> "Call":
        """This call, followed by others in turn; they survive whatever dies between two steps. Raises ValueError for a
        follower with a time of its own, and for one that is unique."""
        check_calls("a follower", calls)
        steps = tuple(step for call in calls for step in (replace(call, followers=()), *call.followers))
        if late := [step.task for step in steps if step.run_after is not None]:
            raise ValueError(f"{late[0]} can't have a time of its own: it runs when the one before has succeeded")
        if names := [step.task for step in steps if step.unique]:
            raise ValueError(f"{names[0]} is unique and can't follow: the job that has its name may run before the one"
                             " before. Enqueue it in the body of that one")  # fmt: skip
        return replace(self, followers=self.followers + steps)

    def row(self, after_id: str | None, captured: dict[str, Any]) -> dict[str, Any]:
        """The ledger's row for this call. Raises TypeError or ValueError for what can't be an argument."""
        self.check()
        id = self.id or new_id()
        row = {
            "id": id,
            "task": self.task,
            "queue": self.queue,
            "args": self.args,
            "key": self.key,
            "max_attempts": self.max_attempts,
            "after_id": id if self.opens_batch else after_id,
            "takes_result": self.takes_result,
            "context": captured,
            **_time("delay", "moment", self.run_after),
            **_time("expires_in", "expires_on", self.expires),
        }
        if self.lane:
            row |= {"lane": self.lane.name, "places": self.lane.places, "dead_blocks": self.lane.dead_blocks}
        if self.unique:
            row |= self.unique._asdict()
        return row | {"batch_id": self.batch_id} if self.batch_id else row

    def check(self) -> None:
        """Raises TypeError or ValueError for what can't be enqueued."""
        try:
            storable.check_arguments(self.args)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.task}: its arguments can't be enqueued: {error}") from error
        argument_types.check(self.task, self.args, besides=(self.takes_result,))  # the result is yet to come
        if self.id and not storable.is_id(self.id):
            raise ValueError(f"{self.task}: its id is a UUID as str() writes it, not {self.id!r}")
        if self.key is not None and self.unique:
            raise ValueError(f"{self.task}: a key is unique for ever: give it a key or a unique name")
        if self.key is not None:
            storable.check_name(f"{self.task}: its key", self.key)
        if self.unique:
            storable.check_name(f"{self.task}: its unique name", self.unique.name)
        if self.lane:
            storable.check_name(f"{self.task}: its lane's name", self.lane.name, lane.LIMIT)
        if self.queue not in current_app.amqp.queues:
            raise ValueError(f"{self.task}: no queue {self.queue!r}; there are {', '.join(current_app.amqp.queues)}")
        for option in ("run_after", "expires"):
            if (when := getattr(self, option)) is not None:
                storable.check_time(f"{self.task}: {option}", when)
        if isinstance(self.expires, timedelta) and self.expires <= timedelta():
            raise ValueError(f"{self.task}: expires is a time after the enqueueing, not {self.expires}")


def check_calls(what: str, calls: Iterable[Any]) -> None:
    """Raises TypeError for what is no Call."""
    for call in calls:
        if not isinstance(call, Call):
            raise TypeError(f"{what} is a call, as task.call(...) returns it, not {call!r:.100}")


def _time(seconds: str, moment: str, when: timedelta | datetime | None) -> dict[str, Any]:
    if isinstance(when, timedelta):
        return {seconds: when.total_seconds()}
    return {moment: when.isoformat()} if when else {}
