"""The rules for people: each has limits that make sense, and the guide says the same as the rule."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings

from backroom.ops.levels import Level
from backroom.ops.rules import CALM, findings
from backroom.ops.stats import Broker, Queue, Snapshot

GUIDE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def snapshot(queue: Queue, problem: str = "") -> Snapshot:
    """Of a broker with this problem."""
    return Snapshot(datetime.now(UTC), [queue], [], {}, Broker(problem, []), [])


def late(queue: str, seconds: float, problem: str = "") -> list[tuple[str, bool]]:
    """The findings where a queue's oldest job has been due for so long."""
    level = Level(queue, ready=1, oldest_s=seconds)
    found = findings(snapshot(Queue(queue, level, 0, None), problem))
    return [(finding.subject, finding.wrong) for finding in found if finding.rule.name == "queue-late"]


@pytest.mark.parametrize(("level", "found"), [(Level("old", dead=3), False), (Level("old", later=1), True)])
def test_an_undeclared_queue_that_holds_dead_letters_only_needs_no_worker(level, found):
    now = snapshot(Queue("old", level, 0, None, declared=False))
    assert ("queue-without-worker" in [finding.rule.name for finding in findings(now)]) is found


def test_a_queue_has_an_objective_of_its_own():
    assert settings.BACKROOM_QUEUE_OBJECTIVES.keys() == {queue.name for queue in settings.CELERY_TASK_QUEUES}


@pytest.mark.parametrize(("queue", "limit"), [*settings.BACKROOM_QUEUE_OBJECTIVES.items(), ("another", 120)])
def test_above_its_limit_a_figure_is_wrong_and_a_little_below_not_well_yet(queue, limit):
    assert late(queue, limit + 0.1) == [(queue, True)]
    assert late(queue, limit) == late(queue, CALM * limit + 0.1) == [(queue, False)]
    assert late(queue, CALM * limit) == []


def test_without_a_broker_only_the_broker_is_wrong_and_no_queues_alert_recovers():
    queue = Queue("bulk", Level("bulk", ready=1, oldest_s=1000), 0, None)
    found = [each for each in findings(snapshot(queue, "it is away")) if each.rule.label == "queue"]
    assert [(each.rule.name, each.wrong) for each in found] == [("queue-without-worker", False), ("queue-late", False)]
    assert found[0].rule.condition.endswith("seen for 10 s, while the broker takes messages")
