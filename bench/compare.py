"""Measure several ways side by side: prints each way's median and its ratio to the first way."""

import statistics
from collections.abc import Callable, Mapping


def compare(ways: Mapping[str, Callable[[], float]], rounds: int, unit: str) -> dict[str, float]:
    """Measure the ways in turn, so that other load on the machine meets all of them. Returns the medians."""
    values: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, measure in ways.items():
            values[name].append(measure())
    medians = {name: statistics.median(each) for name, each in values.items()}
    first = next(iter(medians))
    for name, median in medians.items():
        print(f"{name:16} {median:8.2f} {unit}   {median / medians[first]:.2f} x {first}", flush=True)
    return medians
