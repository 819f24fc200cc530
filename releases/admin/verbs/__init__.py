"""Every verb of the admin, in one explicit tuple; each has its own URL and its own confirmation page."""

from releases.admin.verbs import (
    access,
    consent,
    ledger,
    messages,
    procedure,
    releases,
    runs,
    source,
    stop,
    targets,
    watches,
    windows,
)
from releases.admin.verbs.base import Verb

VERBS: tuple[Verb, ...] = (
    *access.VERBS,
    *targets.VERBS,
    *procedure.VERBS,
    *releases.VERBS,
    *source.VERBS,
    *consent.VERBS,
    *runs.VERBS,
    *watches.VERBS,
    *windows.VERBS,
    *stop.VERBS,
    *ledger.VERBS,
    *messages.VERBS,
)


def verb(noun: str, name: str) -> Verb | None:
    """Return a verb by its key, or None."""
    return next((v for v in VERBS if v.noun == noun and v.name == name), None)


def verbs_on(model: type) -> list[Verb]:
    """Return the verbs that are offered on rows of a model."""
    return [v for v in VERBS if v.model is model]
