"""The present actor. The middleware, the workers and the commands set it; the operation and the ledger read it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Kind = Literal["person", "service", "worker", "command", "system"]
Channel = Literal["admin", "api", "worker", "scheduler", "command"]


class MissingActor(Exception):
    """A change was tried outside `acting()`, where there is no actor."""


@dataclass(frozen=True)
class Actor:
    """An actor as known at the operation. Names and roles are copies, so that later edits do not change the past."""

    account_id: int | None
    name: str
    kind: Kind
    channel: Channel
    roles: tuple[str, ...] = ()
    address: str = ""
    request_id: str = ""
    on_behalf: str = ""
    authenticated_at: datetime | None = None
    method: str = ""
    # What a passkey signed: credential, contents, nonce, authenticator_data, client_data, signature
    # (environments/passkeys.py); or an identity provider: contents, nonce, id_token (environments/single_sign_on/).
    assertion: Mapping[str, Any] | None = field(default=None, compare=False)
    # SHA-256 of the values that a request brought, in hexadecimal: a signature counts for these only.
    submitted: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """Name the actor as the ledger does: `person:7:sato`, or `command:migrate` without an account."""
        parts = [self.kind, self.name] if self.account_id is None else [self.kind, str(self.account_id), self.name]
        return ":".join(parts)


def name_of(label: str) -> str:
    """Return the printed name in an actor's label: that of `person:7:sato` is sato, of `worker:host:41` host:41."""
    kind, _colon, rest = label.partition(":")
    number, _colon, name = rest.partition(":")
    return name if number.isdecimal() and name else rest or kind


_current: ContextVar[Actor | None] = ContextVar("ringi_actor", default=None)


@contextmanager
def acting(actor: Actor) -> Iterator[Actor]:
    """Make `actor` the actor of everything inside the block; nested blocks restore the outer one."""
    token = _current.set(actor)
    try:
        yield actor
    finally:
        _current.reset(token)


def current() -> Actor:
    """Return the present actor; raise `MissingActor` when there is none."""
    actor = _current.get()
    if actor is None:
        raise MissingActor("no actor: open acting(Actor(…)) around the change")
    return actor
