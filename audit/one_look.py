"""Reads that a page makes once, though several of its parts ask: they agree, and the database answers once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

# What this look has read, by function and arguments. None: nobody looks; each read is made when it is asked for.
looks: ContextVar[dict[Any, Any] | None] = ContextVar("ringi_looks", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Keep what is read until the end, for a request that changes nothing. An operation keeps out of it."""
    token = looks.set({})
    try:
        yield
    finally:
        looks.reset(token)


def looking() -> bool:
    """Tell whether a page is being made, and not an operation."""
    return looks.get() is not None


def remember[**P, R](read: Callable[P, R], answer: R, *args: Any) -> None:
    """Let a look know what such a function would read."""
    seen = looks.get()
    if seen is not None:
        seen[getattr(read, "__wrapped__", read), args, ()] = answer


def once_a_look[**P, R](read: Callable[P, R]) -> Callable[P, R]:
    """Make a function read once in a look for the same arguments, which must be hashable; its callers share the answer
    and leave it as it is.
    """

    @wraps(read)
    def reading(*args: P.args, **named: P.kwargs) -> R:
        seen = looks.get()
        if seen is None:
            return read(*args, **named)
        key = (read, args, tuple(sorted(named.items())))
        if key not in seen:
            seen[key] = read(*args, **named)
        found: R = seen[key]
        return found

    return reading
