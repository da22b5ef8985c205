"""How numbers are written on the operations pages."""

import pytest

from backroom.ops.formats import percent
from backroom.ops.rates import Ended


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (0.00003, "< 0.1 %"), (0.5, "50.0 %"), (0.9996, "> 99.9 %"), (0.998, "99.8 %"), (1, "100 %")],
)
def test_what_is_not_nothing_is_not_written_as_nothing_nor_what_is_not_all_as_all(share, words):
    assert percent(share) == words


def test_one_failure_of_thirty_thousand_is_seen():
    ended = Ended(60, succeeded=29_999, dead=1)
    assert (percent(ended.failure_rate), percent(ended.success_rate)) == ("< 0.1 %", "> 99.9 %")
