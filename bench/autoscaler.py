"""How many workers Kubernetes runs, by the age of the oldest job: deploy/kubernetes/keda, and the HPA's formula.

KEDA hands the metric to a HorizontalPodAutoscaler. KEDA's own polling and cooldown act only between 0 and 1 worker.
"""

import math
from collections import deque
from typing import NamedTuple

SYNC = 15.0  # seconds between two looks of the HPA
SCRAPE = 15.0  # seconds between two looks of Prometheus
TOLERANCE = 0.1  # a share within which nothing changes
AT_ONCE = 4  # workers that a look may add, or as many as there are
WINDOW = 300.0  # seconds: a decrease waits until no look of these needed more,
DECREASE = 60.0  # seconds for each worker less


class Rule(NamedTuple):
    """A ScaledObject with the metricType Value: the age's ratio to the threshold multiplies the workers."""

    threshold: float  # seconds
    least: int
    most: int


MEDIA = Rule(450, least=1, most=8)  # as deployed
QUICK = Rule(30, least=2, most=100)  # where uploads should not wait for minutes


class Autoscaler:
    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.needed: deque[tuple[float, int]] = deque()
        self.decreased_at = -math.inf

    def workers(self, now: float, current: int, age: float) -> int:
        """How many are to run from this look on."""
        ratio = age / self.rule.threshold
        need = current if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * current)
        need = min(max(need, self.rule.least), self.rule.most)
        self.needed.append((now, need))
        while self.needed[0][0] <= now - WINDOW:
            self.needed.popleft()
        if need > current:
            return min(need, max(2 * current, current + AT_ONCE))
        if max(count for _, count in self.needed) < current and now - self.decreased_at >= DECREASE:
            self.decreased_at = now
            return current - 1
        return current
