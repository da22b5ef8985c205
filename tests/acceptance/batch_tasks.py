"""For `celery worker --include`: a batch's members, one of which adds another, and its callback."""

from backroom import grow, task


@task(name="tests.batch.member", queue="bulk", key="batch-member:{batch}:{number}")
def member(batch: str, number: int, adds: int = 0) -> int:
    """Adds members with its key's next numbers, which a repeated attempt finds."""
    grow(member.call(batch, number + 1 + more) for more in range(adds))
    return number


@task(name="tests.batch.last", queue="bulk")
def last() -> int:
    """The test pauses this task, so that the batch can't end before the last kill."""
    return 0


@task(name="tests.batch.whole", queue="bulk")
def whole(numbers: list | None) -> list:
    """How many results it got, and their sum: the list of a large batch is over the limit of a result."""
    return [len(numbers or []), sum(numbers or [])]
