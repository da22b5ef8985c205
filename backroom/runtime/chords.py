"""Celery's chord, and so `group | task`, as a batch: header and body are enqueued in one transaction.

Celery starts a chord in a method of the signature, and counts its members in a result backend. A chord whose body is a
task of the ledger starts a batch instead; chords of other apps stay Celery's.
"""

from typing import Any

from celery import canvas
from celery.result import AsyncResult

from backroom.runtime import batch
from backroom.runtime.call import Call

_start_chord, _start_chain = canvas._chord.apply_async, canvas._chain.apply_async
LOST = "would live in a message: let the step before it call backroom.batch()"


def install() -> None:
    """Let `chord` and `chain` start batches, from a process's first signature of a task of the ledger on."""
    canvas._chord.apply_async, canvas._chain.apply_async = start_chord, start_chain


def start_chord(self: Any, args: Any = None, kwargs: Any = None, **options: Any) -> AsyncResult:
    """For chord.apply_async. Raises TypeError for what a batch can't have, and ValueError as `batch` does."""
    kwargs = dict(kwargs or {})
    body = kwargs.pop("body", None) or self.body
    first, *rest = body.tasks if isinstance(body, canvas._chain) else [body]
    if not _is_ours(_first(first)):
        return _start_chord(self, args, {**kwargs, "body": body}, **options)
    options = {**self.options, **options}
    rest += reversed(options.pop("chain", None) or [])
    then = _step(first).then(*map(_step, rest))
    header = getattr(self.tasks, "tasks", self.tasks)
    id = batch.batch((_call(each, args, kwargs, options) for each in header), then=then)
    return first.type.AsyncResult(id)


def start_chain(self: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
    """For chain.apply_async. Raises TypeError where a group or a chord is not its only step."""
    groups = [step for step in self.tasks if step.subtask_type in ("group", "chord")]
    if not groups or not any(_is_ours(_first(step)) for step in self.tasks):
        return _start_chain(self, args, kwargs, **options)
    if len(self.tasks) > 1:
        raise TypeError(f"a group in a chain {LOST}")
    return groups[0].apply_async(args, kwargs, **{**self.options, **options})


def _first(signature: Any) -> Any:
    """A task that it runs: of a chord, of its body."""
    while signature.subtask_type in ("chain", "group", "chord"):
        tasks = [signature.body] if signature.subtask_type == "chord" else signature.tasks
        if not tasks:
            break
        signature = tasks[0]
    return signature


def _is_ours(signature: Any) -> bool:
    return not signature.subtask_type and hasattr(signature.type, "from_celery")


def _step(signature: Any) -> Call:
    if not _is_ours(signature):
        raise TypeError(f"a {signature.subtask_type or 'task of another app'} in a chain {LOST}")
    return signature.type._from_signature(signature)


def _call(signature: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Call:
    """A member's call. Celery gives a chord's arguments and options to each task of the header, or its first step."""
    if isinstance(signature, canvas._chain):
        head, *steps = signature.tasks
        return _call(head, args, kwargs, {**signature.options, **options}).then(*map(_step, steps))
    if not _is_ours(signature):
        raise TypeError(f"a {signature.subtask_type or 'task of another app'} can't be a member of a chord")
    merged = signature.clone(args, kwargs, **options)
    return merged.type.from_celery(tuple(merged.args), merged.kwargs, dict(merged.options))
