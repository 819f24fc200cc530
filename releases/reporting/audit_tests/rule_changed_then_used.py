"""People who changed a rule and then used it. Editing counts as a change; approving an extra window does not.

The changes that a new procedure makes as it comes into effect are its author's, not the last approver's.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from audit import as_of
from audit.as_of import Past
from environments.models import Account, ChangeFreeze
from environments.persons import same_person
from releases.models import Deployment, MonitoringPeriod
from releases.reporting.audit_tests.base import CHUNK, Outcome, SavedTest, Scope, decisions_for, persons
from releases.reporting.audit_tests.outside_change_window import Openings


@dataclass(frozen=True)
class Edit:
    """A rule that a person changed, and the uses for which it counts."""

    account: int
    at: datetime
    what: Any
    reaches: "Callable[[Use], bool]"


@dataclass(frozen=True)
class Use:
    """One operation under the rules: an approval, a schedule or a verification of a deployment."""

    account: Account
    at: datetime
    what: Any
    deployment: Deployment


def _account(label: str) -> int | None:
    number = label.split(":")[1] if label.startswith("person:") else ""
    return int(number) if number.isdecimal() else None


def _changed(model: str, scope: Scope) -> Iterator[tuple[Past | None, Past]]:
    """Yield (before, after) of each change of a model's rows."""
    for life in as_of.lives_of(model, scope.until).values():
        yield from zip([None, *life.states], life.states, strict=False)


def edits(scope: Scope) -> list[Edit]:
    """Return people's changes to procedures, the access matrix, freezes and windows, up to the period's end."""
    found: list[Edit] = []

    def edit(account: int | None, at: datetime, what: Any, reaches: Callable[[Use], bool]) -> None:
        if account is not None:
            found.append(Edit(account, at, what, reaches))

    effected: dict[str, int | None] = {}
    for before, procedure in _changed("releases.Procedure", scope):
        author = procedure.values.get("author_id")
        if before is None:
            edit(author, procedure.at, _("release procedure"), _under(int(procedure.pk)))
        elif procedure.operation_id is not None and procedure.values["state"] == "in_effect" != before.values["state"]:
            effected[procedure.operation_id] = author
    for before, process in _changed("releases.DeploymentProcess", scope):
        if before is None:
            edit(process.values.get("author_id"), process.at, _("deployment process"), _by_process(int(process.pk)))
    for _before, rule in _changed("environments.AccessRule", scope):
        where, role = rule.values["environment_id"], rule.values["role"]
        by = (
            effected[rule.operation_id]
            if rule.operation_id is not None and rule.operation_id in effected
            else _account(rule.actor)
        )
        edit(by, rule.at, _("access matrix"), _as_role(scope, role, where))
    for before, freeze in _changed("environments.ChangeFreeze", scope):
        if before is not None and freeze.values["lifted_at"] and not before.values["lifted_at"]:
            for person in {_account(freeze.actor), freeze.values.get("lift_requested_by_id")}:
                edit(person, freeze.at, _("lifted change freeze"), _in_freeze(as_of.instance(ChangeFreeze, freeze)))
    openings = Openings(scope.until)
    for life in openings.windows.values():
        window = life.states[0]
        edit(window.values.get("requested_by_id"), window.at, _("change window"), _in_window(openings, int(window.pk)))
    return found


def _under(procedure: int) -> Callable[[Use], bool]:
    return lambda use: use.deployment.release.procedure_id == procedure


def _by_process(process: int) -> Callable[[Use], bool]:
    return lambda use: use.deployment.process_id == process


def _as_role(scope: Scope, role: str, environment: int) -> Callable[[Use], bool]:
    def reaches(use: Use) -> bool:
        there = use.deployment.environment_id == environment
        application = use.deployment.application_id
        return there and role in scope.then.roles(use.account.pk, use.at, application, environment)

    return reaches


def _in_freeze(freeze: ChangeFreeze) -> Callable[[Use], bool]:
    environment, application = freeze.environment_id, freeze.application_id

    def reaches(use: Use) -> bool:
        start = use.deployment.started_at
        there = environment == use.deployment.environment_id and application in (None, use.deployment.application_id)
        if start is None or not there:
            return False
        return any(span.starts_at <= start < span.ends_at for span in freeze.spans(start))

    return reaches


def _in_window(openings: Openings, pk: int) -> Callable[[Use], bool]:
    def reaches(use: Use) -> bool:
        start = use.deployment.started_at
        if start is None:
            return False
        row = next((w for w in openings.windows_at(use.deployment, start) if w.pk == pk), None)
        if row is None:
            return False
        extra = row.as_window()
        return extra is None or extra.holds(start)

    return reaches


def uses(scope: Scope) -> Iterator[Use]:
    """Yield the operations for each deployment in a protected environment of the period."""
    monitoring_periods = MonitoringPeriod.objects.filter(
        purpose="deployment", deployment__in=scope.deployments().order_by().values("pk")
    )
    verified = dict(monitoring_periods.order_by("-pk").values_list("deployment", "started_at"))
    for deployment in scope.deployments().iterator(chunk_size=CHUNK):
        for decision in decisions_for(deployment):
            for person in persons(decision):
                yield Use(person, decision.at, _("approved"), deployment)
        if deployment.started_at is not None:
            for account in deployment.starters:
                yield Use(account, deployment.started_at, _("scheduled"), deployment)
        verified_at = verified.get(deployment.pk, deployment.started_at)
        if deployment.verified_by is not None and verified_at is not None:
            yield Use(deployment.verified_by, verified_at, _("verified"), deployment)


def run(scope: Scope) -> Outcome:
    """Compare each use with every earlier edit by the same person."""
    outcome, changed = Outcome(), defaultdict[str | None, list[Edit]](list)
    one = same_person()
    keys: dict[int, str] = {a.pk: one(a.person_key) for a in Account.objects.all()}
    for edit in edits(scope):
        changed[keys.get(edit.account)].append(edit)
    for use in uses(scope):
        outcome.examined += 1
        for edit in changed.get(one(use.account.person_key), ()):
            if edit.at <= use.at and edit.reaches(use):
                cells = (str(use.account), edit.what, edit.at, use.what, use.at)
                outcome.found(use.deployment, str(use.deployment), *cells)
    return outcome


TEST = SavedTest(
    key="rule-changed-then-used",
    title=_("People who changed a rule and then used it"),
    question=_(
        "Did anyone approve, schedule or verify under a release procedure, access matrix, change freeze or "
        "change window that they had changed?"
    ),
    columns=(_("deployment"), _("person"), _("changed rule"), _("changed at"), _("use of the rule"), _("used at")),
    run=run,
)
