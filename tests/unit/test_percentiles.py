"""Percentiles out of histograms."""

from collections import Counter

from backroom.ops.rates import percentile


def test_a_percentile_is_the_edge_of_the_bucket_in_which_it_lies():
    histogram = Counter({"0": 50, "4": 45, "20": 5})  # up to 1 ms, 4 ms, 1024 ms
    shares = [0.01, 0.5, 0.51, 0.95, 0.96, 1.0]
    assert [percentile(histogram, share) for share in shares] == [1, 1, 4, 4, 1024, 1024]


def test_nothing_has_no_percentile():
    assert percentile(Counter(), 0.5) is None
