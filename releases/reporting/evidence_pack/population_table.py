"""The list of a population as a table: what pages, downloads and archives of closed years show of each entry."""

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from releases.models import Rollback
from releases.reporting.evidence_pack import population as of_period
from releases.reporting.evidence_pack.population import Acted, Change


def table(of: str, changes: list[Change]) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Return the head and the rows of a population, or of a sample from it, in readable form."""
    if of == "changes":
        head = [_("number"), _("release"), _("title"), _("type"), _("state"), _("numbered at"), _("event")]
        return head, (_change(change) for change in changes)
    head = [
        _("number"),
        _("change number"),
        _("application"),
        _("version"),
        _("environment"),
        _("type"),
        _("scheduled start"),
        _("scheduled end"),
        _("started at"),
        _("steps ended at"),
        _("ended at"),
        _("result"),
        _("approved by"),
        _("scheduled by"),
        _("executed by"),
        _("event"),
    ]
    by = of_period.acted(changes)
    return head, (_deployment(change, by.get(change.label)) for change in changes)


def _change(change: Change) -> tuple[Any, ...]:
    release = change.release
    if release is None:
        return change.number, change.label, None, None, None, change.at, change.event
    kind, state = release.get_kind_display(), release.get_state_display()
    return change.number, str(release), release.title, kind, state, change.at, change.event


def _deployment(change: Change, by: Acted | None) -> tuple[Any, ...]:
    row = change.deployment
    if row is None or by is None:
        return change.number, change.label, *[None] * 6, change.at, *[None] * 6, change.event
    deployment, (*people, until) = of_period.deployment_of(row), by
    release, kind, ended = deployment.release, deployment.release.get_kind_display(), deployment.ended_at
    planned: tuple[Any, ...] = (deployment.scheduled_start_at, deployment.scheduled_end_at)
    if isinstance(row, Rollback):
        kind, ended, planned = _("Rollback"), row.restored_at, (None, None)
    return (
        change.number,
        release.number,
        str(release.application),
        release.version,
        str(deployment.environment),
        kind,
        *planned,
        change.at,
        until,
        ended,
        row.get_state_display(),
        *people,
        change.event,
    )
