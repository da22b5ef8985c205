"""Whether arguments have the types of a task's annotations, of those that JSON tells apart: enqueueing, the schedule
and an edited job refuse a value of another type alike. "1164" gives the key that 1164 gives, and fails in the body."""

import json
from collections.abc import Callable, Container
from functools import cache
from inspect import formatannotation, signature
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from celery import current_app

JSON_TYPES = {each: each for each in (str, int, bool, dict, NoneType)} | {float: int | float, list: list | tuple}
SHOWN = 100  # characters of a value in an error


def check(task: str, args: dict[str, Any], besides: Container[str] = ()) -> None:
    """Raises TypeError for a value of another JSON type than its parameter's annotation, unless it is its default. A
    task that this process does not know takes everything."""
    known = current_app.tasks.get(task)
    for name, (hint, default) in _annotated(known.run).items() if known else ():
        if name in args and name not in besides and args[name] is not default and not fits(args[name], hint):
            shown = json.dumps(args[name], ensure_ascii=False)[:SHOWN]
            raise TypeError(f"{task} takes {name}: {formatannotation(hint)}, not {shown}")


@cache
def _annotated(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """The annotation and the default of each annotated parameter."""
    try:
        hints = get_type_hints(function)
        parameters = signature(function).parameters.values()
    except Exception:  # such as a name that only a type checker imports: no reason to refuse a call
        return {}
    return {each.name: (hints[each.name], each.default) for each in parameters if each.name in hints}


def fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value has this type. What JSON has no type for, fits."""
    if get_origin(hint) in (Union, UnionType):
        return any(fits(value, each) for each in get_args(hint))
    kind = get_origin(hint) or hint
    if not isinstance(kind, type) or kind not in JSON_TYPES:
        return True
    if isinstance(value, bool):  # which is an int to Python
        return kind is bool
    return isinstance(value, JSON_TYPES[kind])
