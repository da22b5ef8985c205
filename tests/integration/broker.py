"""A broker at another address, for this process."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from celery import current_app

from backroom.runtime import broker
from tests.waiting import until


@contextmanager
def broker_at(url: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(current_app.conf, "broker_url", url)
        yield
        patch.undo()
        until(lambda: not broker.switch.is_off, what="the broker answers again")
