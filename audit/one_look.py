"""Reads that are made once, though several parts of a page, or of one answer, ask: they agree, and the database
answers once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any


@dataclass(frozen=True)
class Reads:
    """What has been read, by function and arguments. page: for a whole page, or else for one answer."""

    page: bool
    seen: dict[Any, Any] = field(default_factory=dict)


# None: each read is made when it is asked for.
looks: ContextVar[Reads | None] = ContextVar("ringi_looks", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Keep what is read until the end, for a request that changes nothing. An operation keeps out of it."""
    token = looks.set(Reads(page=True))
    try:
        yield
    finally:
        looks.reset(token)


def looking() -> bool:
    """Tell whether a page is being made, and not an operation."""
    reads = looks.get()
    return reads is not None and reads.page


def remember[**P, R](read: Callable[P, R], answer: R, *args: Any) -> None:
    """Let a look know what such a function would read."""
    reads = looks.get()
    if reads is not None:
        reads.seen[getattr(read, "__wrapped__", read), args, ()] = answer


def once_a_look[**P, R](read: Callable[P, R]) -> Callable[P, R]:
    """Make a function read once in a look, or for one answer, for the same arguments, which must be hashable; its
    callers share the answer and leave it as it is.
    """

    @wraps(read)
    def reading(*args: P.args, **named: P.kwargs) -> R:
        reads = looks.get()
        if reads is None:
            return read(*args, **named)
        key = (read, args, tuple(sorted(named.items())))
        if key not in reads.seen:
            reads.seen[key] = read(*args, **named)
        found: R = reads.seen[key]
        return found

    return reading


def one_answer[**P, R](work_out: Callable[P, R]) -> Callable[P, R]:
    """Let a function that writes nothing read each thing once while it works out its answer, in an operation too."""

    @wraps(work_out)
    def working(*args: P.args, **named: P.kwargs) -> R:
        if looks.get() is not None:
            return work_out(*args, **named)
        token = looks.set(Reads(page=False))
        try:
            return work_out(*args, **named)
        finally:
            looks.reset(token)

    return working
