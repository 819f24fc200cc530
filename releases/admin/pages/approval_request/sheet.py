"""The decision sheet of a release: what an approver weighs, from what is active to what would be."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import prefetch_related_objects

from environments.admin.rights import Rights
from environments.difference import Row, difference
from environments.language import language
from environments.models import Environment
from environments.models.environment import targets_in
from releases.admin.pages.approval_request.rows import changed_targets, ended_because, last_there
from releases.admin.pages.procedure.difference import Difference, differences
from releases.gates.base import Answer, Known
from releases.gates.evaluation import evaluate
from releases.gates.rehearsal import rehearsed, seconds
from releases.models import ApprovalRequest, ChangeEntry, Deployment, Release, Step
from releases.notifications.templates.events import KEYS
from releases.notifications.templates.placeholders import KNOWN_BEFOREHAND, PLACEHOLDERS, filled
from releases.queries import changes_since as since
from releases.queries.notification_subject import Subject
from releases.queries.notification_values import values_of
from releases.queries.rollback_plan import faults, migrations_of

# They are about the decision itself, or are passed after it.
NOT_WEIGHED = ("approval", "milestone")
BELONGING = "changes checklist team_members documents milestones facts waivers follow_ups deployments"


@dataclass(frozen=True)
class Place:
    """One environment of production. configuration: the keys that differ; None: not shown to this reader. target: what
    differs in the deployment targets since the last deployment; None: not shown, or no deployment before. steps: the
    steps that differ from those of the last deployment; None: there was none.
    """

    environment: Environment
    opens: datetime | None
    closes: datetime | None
    since: since.Since
    configuration: list[Row] | None
    configured: bool
    target: list[str] | None
    steps: list[Difference] | None
    gates: list[Answer]
    rehearsal: Deployment | None
    rehearsal_seconds: float

    @property
    def not_passed(self) -> list[Answer]:
        """Return the gates that are neither passed nor waived."""
        return [answer for answer in self.gates if not answer.passes]

    @property
    def passed(self) -> list[Answer]:
        """Return the gates that are passed or waived."""
        return [answer for answer in self.gates if answer.passes]


@dataclass(frozen=True)
class Message:
    """A text that goes out without another check: for which event, and its words as far as they are known."""

    event: str
    subject: str
    body: str


@dataclass(frozen=True)
class Sheet:
    """All of it. migrations: the files with what cannot be undone; None: they were not read."""

    release: Release
    places: list[Place]
    changes: list[ChangeEntry]
    migrations: list[dict[str, Any]] | None
    faults: list[str]
    messages: list[Message]


def sheet_of(approval_request: ApprovalRequest, rights: Rights, moment: datetime) -> Sheet | None:
    """Return the sheet of a request about a release; None for another subject, and where what is there now is not what
    is approved.
    """
    release = approval_request.release
    if release is None or approval_request.state not in approval_request.LIVE:
        return None
    prefetch_related_objects([release], *BELONGING.split())
    if ended_because(approval_request):
        return None
    known = Known(release, moment)
    release.places = known.places
    own = rights.about(release)
    there = since.active(release)
    active = {place.pk: pointer for place, pointer in there}
    distances = {row.environment.pk: row for row in since.kept(release, there)}
    chosen = since.chosen(release)
    places = []
    for place in release.destinations:
        opens, closes = release.window_in(place)
        pointer, after = active.get(place.pk), chosen.get(place.pk)
        before = pointer.configuration if pointer is not None else None
        last = last_there(release, place)
        rehearsal = rehearsed(release, place)
        places.append(
            Place(
                place,
                opens,
                closes,
                distances[place.pk],
                [row for row in difference(before, after) if row.mark != "same"] if own.sees(place) else None,
                after is not None,
                changed_targets(targets_in(release.application_id, place), last) if own.sees(place) else None,
                changed_steps(last.release.step_plan, release.step_plan) if last is not None else None,
                [
                    answer
                    for answer in evaluate(release, place, max(opens or moment, moment), known)
                    if answer.kind not in NOT_WEIGHED
                ],
                rehearsal,
                seconds(rehearsal, ("rollback", "rollback_verification")) if rehearsal is not None else 0.0,
            )
        )
    return Sheet(
        release,
        places,
        list(release.changes.all()),
        migrations_of(release, known),
        faults(release, known) if release.step_plan else [],
        _messages(release, approval_request.document.get("notification_templates", {}), places, moment),
    )


def changed_steps(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return the steps in which two step plans differ, named by phase and label, and their fields by labels."""
    return differences(*({"steps": _labelled(plan)} for plan in (before, after)))


def _labelled(plan: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    label, phases = f"label_{language()}", dict(Step.Phase.choices)
    # The names of parameters are those of the step type.
    names = {one.name: str(one.verbose_name) for one in Step._meta.concrete_fields if one.name != "parameters"}
    return {
        str(phases[phase]): [
            {"key": row[label]} | {names.get(name, name): row[name] for name in row if name != label} for row in rows
        ]
        for phase, rows in plan.items()
    }


def _messages(
    release: Release, texts: Mapping[str, Mapping[str, Any]], places: list[Place], moment: datetime
) -> list[Message]:
    """Return the approved texts with the values that are known now; the others by their names."""
    known = values_of(Subject(release, release), language=language(), at=moment, actor="", reason="", payload={}) | {
        "environment": ", ".join(str(place.environment) for place in places)
    }
    later = ("occurred_at", *(set(PLACEHOLDERS) - KNOWN_BEFOREHAND))
    values = known | {name: f"[{PLACEHOLDERS[name]}]" for name in later}
    found = []
    for event, languages in texts.items():
        words = languages.get(language()) or next(iter(languages.values()), None)
        if words:
            title = str(KEYS[event].label) if event in KEYS else event
            found.append(Message(title, filled(words["subject"], values), filled(words["body"], values)))
    return found
