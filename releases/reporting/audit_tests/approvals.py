"""Audit tests of approvals: in time, in a role that was held, by a person, not from the requester's address."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, cast

from django.db import connection
from django.db.models import F, Max, Model, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat
from django.utils.translation import gettext_lazy as _

from audit.models import Event
from environments import models as e
from environments.application_scope import paths_of
from environments.language import listed
from environments.models import Account, Environment
from environments.persons import same_person
from releases import models as r
from releases.gates import quorum
from releases.models import ApprovalDecision, ApprovalRequest
from releases.reporting.audit_tests.base import CHUNK, Outcome, SavedTest, Scope, counting, decisions_for


def approved_late(scope: Scope) -> Outcome:
    """Check each deployment in a protected environment: its approval request, and the decisions at its start."""
    rows = Event.objects.filter(kind="row", object__startswith="releases.ApprovalDecision:").order_by()
    outcome, one, recorded = Outcome(), same_person(), dict(rows.values_list("object").annotate(Max("at")))
    for deployment in scope.deployments().iterator(chunk_size=CHUNK):
        outcome.examined += 1
        approval_request, start = deployment.approval_request, deployment.started_at
        if approval_request is None:
            outcome.found(deployment, str(deployment), start, None, _("The deployment has no approval request."))
            continue
        decisions = decisions_for(deployment)
        there = {
            decision: max(decision.at, recorded.get(f"releases.ApprovalDecision:{decision.pk}", scope.until))
            for decision in decisions
        }
        before = [decision for decision in decisions if start is not None and there[decision] <= start]
        last = max(there.values(), default=None)
        if len(before) < len(decisions):
            outcome.found(deployment, str(deployment), start, last, _("An approval came after the start."))
        elif not _met(approval_request, before, one):
            outcome.found(deployment, str(deployment), start, last, _("The rules were not met at the start."))
    return outcome


def _met(approval_request: ApprovalRequest, decisions: list[ApprovalDecision], one: Callable[[str], str]) -> bool:
    rules = quorum.rules_of(approval_request)
    yes = (
        decision
        for decision in decisions
        if decision.decision in decision.COUNTING and decision.digest == approval_request.digest
    )
    persons = [(one(decision.account.person_key), frozenset(decision.roles)) for decision in yes]
    # A rule that requires no one is met without approvals; an empty set of rules is never met.
    return bool(approval_request.rules) and (not rules or quorum.standing(rules, persons).met)


APPROVAL_AFTER_START = SavedTest(
    key="approval-after-start",
    title=_("Approval later than start"),
    question=_("Was each deployment in a protected environment approved before it started?"),
    columns=(_("deployment"), _("started"), _("last approval"), _("finding")),
    run=approved_late,
)


def role_missing(scope: Scope) -> Outcome:
    """Check each approval decision: did its approver hold a role for what it is about, or as a delegate?"""
    outcome, places = Outcome(), dict(Environment.objects.values_list("slug", "pk"))
    paths = (f"approval_request__{path}" for path in paths_of(ApprovalRequest))
    later = F("approval_request__document__later_environments")
    stopped = F("approval_request__document__stopped_environments")
    for decision in scope.approvals().annotate(application_=Coalesce(*paths), later_=later, stopped_=stopped):
        outcome.examined += 1
        represented = decision.on_behalf or decision.account
        named = [*(row["environment"] for row in decision.later_ or ()), *(decision.stopped_ or ())]
        where = (decision.approval_request.environment_id, *(places[name] for name in named if name in places))
        held = scope.then.counting(represented.pk, decision.at, decision.application_, *where)
        said = listed(decision.roles)
        asked = {rule["role"] for rule in decision.approval_request.rules}
        if not held & set(decision.roles) & asked:
            finding = _("The approver held none of the roles.")
        elif set(decision.roles) - held:
            finding = _("The approver did not hold all of the roles.")
        elif decision.on_behalf is not None and represented.pk not in scope.then.stood_in_for(
            decision.account_id, decision.at
        ):
            finding = _("There was no valid delegation.")
        else:
            continue
        about = decision.approval_request.release or decision.approval_request
        outcome.found(about, str(about), str(decision.account), decision.at, said, listed(sorted(held)), finding)
    return outcome


APPROVER_WITHOUT_ROLE = SavedTest(
    key="approver-without-role",
    title=_("Approver without the role at the time"),
    question=_("Did everybody who made an approval decision hold the role at that very moment?"),
    columns=(_("release"), _("person"), _("time"), _("roles claimed"), _("roles held"), _("finding")),
    run=role_missing,
)


def same_address(scope: Scope) -> Outcome:
    """Compare the address of each approval with the address of the submission of the same approval request."""
    outcome = Outcome()
    said = scope.approvals().filter(approval_request__release__isnull=False)
    label = Concat(
        Value("releases.Release:"), Cast("approval_request__release_id", TextField()), output_field=TextField()
    )
    submitted: dict[str, list[Event]] = {}
    found = Event.objects.filter(
        object__in=said.order_by().values(label_=label),
        operation="release:submit",
        kind="operation",
        at__lt=scope.until,
    )
    for event in found.order_by("at"):
        submitted.setdefault(event.object, []).append(event)
    for decision in counting(said):
        outcome.examined += 1
        earlier = [
            e
            for e in submitted.get(f"releases.Release:{decision.approval_request.release_id}", [])
            if e.at <= decision.at
        ]
        if not earlier:
            continue
        address, theirs = earlier[-1].contents["request"]["address"], decision.signature.get("address", "")
        if address and address == theirs:
            release = decision.approval_request.release
            outcome.found(
                release,
                str(release),
                str(decision.approval_request.requested_by),
                str(decision.account),
                address,
                decision.at,
            )
    return outcome


SAME_ADDRESS = SavedTest(
    key="same-address",
    title=_("Requester and approver at the same address"),
    question=_("Did an approval request and an approval decision on it come from the same network address?"),
    columns=(_("release"), _("requester"), _("approver"), _("address"), _("time")),
    run=same_address,
)


# Model, the columns of the decider, the column of the time; "": the ledger alone knows when it was decided.
DECISIONS: tuple[tuple[type[Model], str, str], ...] = (
    (r.ApprovalDecision, "account on_behalf", "at"),
    (r.FinalCheck, "account", "signed_at"),
    (r.DecisionRequest, "answered_by", "answered_at"),
    (r.Deployment, "verified_by", ""),
    (r.MonitoringPeriod, "recorded_by", ""),
    (r.ChecklistItem, "signed_by", "signed_at"),
    (r.Rollback, "authorised_by assessed_by", ""),
    (r.Waiver, "requested_by", "requested_at"),
    (r.Waiver, "decided_by", ""),
    (r.FollowUp, "completed_by", "completed_at"),
    (r.DocumentSignature, "account", "signed_at"),
    (r.Notification, "external_approved_by", "external_approved_at"),
    (r.Erasure, "confirmed_by", "confirmed_at"),
    (e.AccessGrant, "granted_by", "created_at"),
    (e.AccessGrant, "confirmed_by", "confirmed_at"),
    (e.AccessRequest, "decided_by", "decided_at"),
    (e.AccessReviewItem, "decided_by", "decided_at"),
    (e.Delegation, "confirmed_by", "confirmed_at"),
    (e.GroupRole, "confirmed_by", "confirmed_at"),
    (e.RequestedChange, "decided_by", "decided_at"),
)
# A row's key, the decider and the time of each event of a period that set the column of the decider.
_DECIDED = """
SELECT split_part(object, ':', 2)::bigint, (values ->> %(column)s)::bigint, at FROM (
    SELECT e.object, e.at, convert_from(e.bytes, 'UTF8')::jsonb -> 'after' AS values FROM audit_event e
    WHERE e.kind = 'row' AND e.outcome <> 'deleted' AND e.object >= %(begin)s AND e.object < %(end)s
        AND e.at >= %(since)s AND e.at < %(until)s
) AS written WHERE values ->> %(column)s IS NOT NULL ORDER BY at
"""


def _decided(model: type[Model], who: str, when: str, scope: Scope) -> Iterator[tuple[int, int, datetime]]:
    """Yield key, decider and time of each decision of the period."""
    if when:
        made = model._default_manager.filter(
            **{f"{who}__isnull": False, f"{when}__gte": scope.since, f"{when}__lt": scope.until}
        )
        yield from made.order_by(when).values_list("pk", f"{who}_id", when)
        return
    label, field = model._meta.label, cast(Any, model._meta.get_field(who))
    between: dict[str, Any] = {"begin": f"{label}:", "end": f"{label};", "since": scope.since, "until": scope.until}
    with connection.cursor() as cursor:
        cursor.execute(_DECIDED, between | {"column": field.column})
        yield from cursor.fetchall()


def service_decided(scope: Scope) -> Outcome:
    """Check each decision of the period; an account that was a service account then counts, whatever it is now."""
    outcome, accounts = Outcome(), {account.pk: account for account in Account.objects.all()}
    for model, who, when in ((model, who, when) for model, columns, when in DECISIONS for who in columns.split()):
        found = []
        for pk, decider, at in _decided(model, who, when, scope):
            outcome.examined += 1
            account, past = accounts.get(decider), scope.then.account(decider, at)
            kinds = {one.kind for one in (account, past) if one is not None}
            if Account.Kind.SERVICE in kinds:
                found.append((pk, str(account or decider), at))
        rows = model._default_manager.in_bulk([pk for pk, _account, _at in found])
        field = str(model._meta.get_field(who).verbose_name)  # type: ignore[union-attr]
        for pk, name, at in found:
            row = rows.get(pk)
            outcome.found(row, str(model._meta.verbose_name), str(row or pk), field, name, at)
    return outcome


SERVICE_ACCOUNT_DECISIONS = SavedTest(
    key="service-account-decisions",
    title=_("Service accounts that decided"),
    question=_("Did a person make every decision?"),
    columns=(_("type"), _("object"), _("duty"), _("account"), _("time")),
    run=service_decided,
)
