"""Each kind of notice names a function that exists, so that no notice dies when it is sent."""

import inspect

import pytest
from django.utils.module_loading import import_string

from notifications.kinds import KINDS, Kind, named
from notifications.models import Channel


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_has_a_text_and_may_always_come_by_mail(kind: Kind):
    assert list(inspect.signature(import_string(kind.compose)).parameters) == ["about", "user"]
    assert Channel.MAIL in kind.channels
    assert named(kind.name) is kind


def test_an_unknown_kind_is_an_error():
    with pytest.raises(LookupError):
        named("fax")
