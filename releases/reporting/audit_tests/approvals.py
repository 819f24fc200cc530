"""Audit tests of approvals: in time, in a role that was held, by a person, not from the requester's address."""

from collections.abc import Callable

from django.db.models import Max, Model, TextField, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext_lazy as _

from audit.models import Event
from environments import models as e
from environments.language import listed
from environments.models import Account
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
    """Check each approval decision: did its approver hold one of the roles, and was the actor their delegate?"""
    outcome = Outcome()
    for decision in scope.approvals():
        outcome.examined += 1
        represented = decision.on_behalf or decision.account
        held = scope.then.roles(represented.pk, decision.at, decision.approval_request.environment_id)
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


# Model, the columns of the decider, the column of the time.
DECISIONS: tuple[tuple[type[Model], str, str], ...] = (
    (r.ApprovalDecision, "account on_behalf", "at"),
    (r.FinalCheck, "account", "signed_at"),
    (r.DecisionRequest, "answered_by", "answered_at"),
    (r.Deployment, "verified_by", "started_at"),
    (r.MonitoringPeriod, "recorded_by", "started_at"),
    (r.ChecklistItem, "signed_by", "signed_at"),
    (r.Rollback, "authorised_by assessed_by", "raised_at"),
    (r.Waiver, "requested_by decided_by", "requested_at"),
    (r.FollowUp, "completed_by", "completed_at"),
    (r.DocumentSignature, "account", "signed_at"),
    (e.AccessGrant, "granted_by", "created_at"),
    (e.AccessGrant, "confirmed_by", "confirmed_at"),
    (e.AccessRequest, "decided_by", "decided_at"),
    (e.AccessReviewItem, "decided_by", "decided_at"),
    (e.Delegation, "confirmed_by", "confirmed_at"),
    (e.RequestedChange, "decided_by", "decided_at"),
)


def service_decided(scope: Scope) -> Outcome:
    """Check each decision of the period; an account that was a service account then counts, whatever it is now."""
    outcome = Outcome()
    lives = scope.then.accounts.items()
    once = {
        int(pk) for pk, life in lives if any(past.values.get("kind") == Account.Kind.SERVICE for past in life.states)
    }
    once |= set(Account.objects.filter(kind=Account.Kind.SERVICE).values_list("pk", flat=True))
    for model, who, when in ((model, who, when) for model, columns, when in DECISIONS for who in columns.split()):
        made = model._default_manager.filter(
            **{f"{who}__isnull": False, f"{when}__gte": scope.since, f"{when}__lt": scope.until}
        )
        outcome.examined += made.count()
        field = str(model._meta.get_field(who).verbose_name)  # type: ignore[union-attr]
        for row in made.filter(**{f"{who}__in": once}).select_related(who):
            account, at = getattr(row, who), getattr(row, when)
            past = scope.then.person(account.pk, at)
            if Account.Kind.SERVICE in (account.kind, past.kind if past is not None else ""):
                outcome.found(row, str(model._meta.verbose_name), str(row), field, str(account), at)
    return outcome


SERVICE_ACCOUNT_DECISIONS = SavedTest(
    key="service-account-decisions",
    title=_("Service accounts that decided"),
    question=_("Did a person make every decision?"),
    columns=(_("type"), _("object"), _("duty"), _("account"), _("time")),
    run=service_decided,
)
