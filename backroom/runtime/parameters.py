"""The parameters of a task's function: the ledger keeps a job's arguments by their names, and its key and lane have
some."""

import inspect
import re
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

LAZY = inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction
NAMELESS = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY


class NoJob(TypeError):
    """The calls of this task can't be jobs. `hint` is the way out."""

    def __init__(self, text: str, hint: str) -> None:
        super().__init__(text)
        self.hint = hint


def of(name: str, function: Callable[..., Any], formats: Mapping[str, str | None]) -> inspect.Signature:
    """The parameters of the task of this name, without the `self` of a bound one; its key and lane are `formats` over
    them. Raises NoJob."""
    if any(is_lazy(function) for is_lazy in LAZY):
        raise NoJob(f"{name}: a call of an async function or a generator does not run its body",
                    "make it a plain function, which awaits with asyncio.run() or loops itself")  # fmt: skip
    signature = inspect.signature(function)
    if any(p.kind in NAMELESS for p in signature.parameters.values()):
        raise NoJob(f"{name}: the ledger keeps arguments by name, so no *args, **kwargs or `/`",
                    "give each parameter a name, or take one list or dict")  # fmt: skip
    for what, format in formats.items():
        if format and (unknown := fields(name, what, format) - set(signature.parameters)):
            raise NoJob(f"{name}: its {what} {format!r} names no parameter of {name}{signature}",
                        f"correct {', '.join(sorted(unknown)) or '{}'} in its {what}")  # fmt: skip
    return signature


def fields(name: str, what: str, format: str) -> set[str]:
    """The parameters that this format names, also within a field: {number:{width}}."""
    try:
        parsed = [(field, spec or "") for _, field, spec, _ in Formatter().parse(format) if field is not None]
    except ValueError as error:
        raise NoJob(f"{name}: its {what} {format!r} is no format: {error}", 'write it as "receipt:{number}"') from error
    within = (fields(name, what, spec) for _, spec in parsed)
    return {re.split(r"[.\[]", field)[0] for field, _ in parsed}.union(*within)


def filled(name: str, what: str, format: str, arguments: Mapping[str, Any]) -> str:
    """The key, or the lane, of a call with these arguments. Raises ValueError for those that give none."""
    try:
        return format.format(**arguments)
    except RecursionError as error:
        raise ValueError(f"{name}: its arguments are nested too deep to be enqueued") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: its arguments give no {what} {format!r}: {error}") from error


def bind(name: str, signature: inspect.Signature, /, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments by name, with the defaults. Raises TypeError, with the task's name, for those that don't fit."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}{signature.replace(return_annotation=signature.empty)}: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)
