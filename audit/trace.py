"""The context of log lines: one id per request, and the deployment. The middleware and the workers set it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_about: ContextVar[dict[str, str] | None] = ContextVar("ringi_about", default=None)
# Of the deployment that this process works on, or last did: what ends a job is logged after it.
_secrets: frozenset[str] = frozenset()


def hide(secrets: Iterable[str]) -> None:
    """Let no line of the log show these values, until others are given."""
    global _secrets
    _secrets = frozenset(secrets)


def hidden() -> frozenset[str]:
    """Return the values that no line of the log shows."""
    return _secrets


def about() -> dict[str, str]:
    """Return the present context: `request`, `deployment`, `step`, as far as they are known."""
    return _about.get() or {}


@contextmanager
def tracing(**ids: str) -> Iterator[None]:
    """Add ids to whatever is logged inside the block."""
    token = _about.set({**about(), **ids})
    try:
        yield
    finally:
        _about.reset(token)
