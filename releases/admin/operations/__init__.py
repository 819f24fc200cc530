"""Every verb of the admin, in one explicit tuple; each has its own URL and its own confirmation page."""

from releases.admin.operations import (
    access,
    approval,
    definition,
    deployment_process,
    deployments,
    emergency_stop,
    erasure,
    ledger,
    monitoring,
    notifications,
    procedure,
    recipients,
    releases,
    rollbacks,
    saved_views,
    sign_in,
    source,
    targets,
    windows,
    years,
)
from releases.admin.operations.base import Verb

VERBS: tuple[Verb, ...] = (
    *access.VERBS,
    *sign_in.VERBS,
    *erasure.VERBS,
    *targets.VERBS,
    *procedure.VERBS,
    *deployment_process.VERBS,
    *definition.VERBS,
    *releases.VERBS,
    *source.VERBS,
    *approval.VERBS,
    *deployments.VERBS,
    *rollbacks.VERBS,
    *saved_views.VERBS,
    *monitoring.VERBS,
    *windows.VERBS,
    *emergency_stop.VERBS,
    *ledger.VERBS,
    *years.VERBS,
    *recipients.VERBS,
    *notifications.VERBS,
)


def verb(noun: str, name: str) -> Verb | None:
    """Return a verb by its key, or None."""
    return next((v for v in VERBS if v.noun == noun and v.name == name), None)


def verbs_on(model: type) -> list[Verb]:
    """Return the verbs that are offered on rows of a model."""
    return [v for v in VERBS if v.model is model]
