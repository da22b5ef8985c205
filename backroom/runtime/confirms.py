"""Publisher confirms of RabbitMQ: a message is published once the broker says that it has it.

kombu's option `confirm_publish` waits after each message, in a worker for each event, too. Here a batch waits once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from kombu.exceptions import OperationalError


class Confirms:
    """Of one channel, whose messages RabbitMQ counts from 1."""

    def __init__(self, channel: Any) -> None:
        channel.confirm_select()
        channel.events["basic_ack"].add(self._ack)
        channel.events["basic_nack"].add(self._nack)
        self.last = 0
        self.open: set[int] = set()
        self.refused = False

    def expect(self, count: int) -> None:
        """Race: the first confirms arrive while the last messages are sent."""
        first, self.last = self.last + 1, self.last + count
        self.open = set(range(first, self.last + 1))

    def _ack(self, number: int, multiple: bool) -> None:
        self.open -= {each for each in self.open if each <= number} if multiple else {number}

    def _nack(self, number: int, multiple: bool) -> None:
        self.refused = True


_known: WeakKeyDictionary[Any, Confirms] = WeakKeyDictionary()


@contextmanager
def awaited(channel: Any, count: int, timeout: float) -> Iterator[None]:
    """Wait until the broker has the `count` messages that the block sends, at most `timeout` seconds for the next
    confirm. Raises the transport's errors, after which the channel must be closed: it has numbers that are open."""
    if channel not in _known:
        _known[channel] = Confirms(channel)
    confirms = _known[channel]
    confirms.expect(count)
    yield
    while confirms.open:
        if confirms.refused:
            raise OperationalError("it has no room for a message, or lost the queue's leader")
        channel.connection.drain_events(timeout=timeout)
