"""Approvals: given in time, in a role that was held, by a person, and not from the machine of the applicant."""

from django.db.models import Max, Model, TextField, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext_lazy as _

from audit.models import Event
from environments import models as e
from environments.language import listed
from environments.models import Account
from releases import models as r
from releases.gates import quorum
from releases.models import ApprovalDecision, ApprovalRequest
from releases.reporting.audit_tests.base import CHUNK, Outcome, SavedTest, Scope, counting, words_for


def approved_late(scope: Scope) -> Outcome:
    """Look at each run in a protected environment: its round, and the words that the ledger knew when it started."""
    rows = Event.objects.filter(kind="row", object__startswith="releases.ApprovalDecision:").order_by()
    outcome, told = Outcome(), dict(rows.values_list("object").annotate(Max("at")))
    for deployment in scope.runs().iterator(chunk_size=CHUNK):
        outcome.examined += 1
        approval_request, start = deployment.approval_request, deployment.started_at
        if approval_request is None:
            outcome.found(deployment, str(deployment), start, None, _("The deployment has no approval request."))
            continue
        words = words_for(deployment)
        there = {word: max(word.at, told.get(f"releases.ApprovalDecision:{word.pk}", scope.until)) for word in words}
        before = [word for word in words if start is not None and there[word] <= start]
        last = max(there.values(), default=None)
        if len(before) < len(words):
            outcome.found(deployment, str(deployment), start, last, _("An approval came after the start."))
        elif not _met(approval_request, before):
            outcome.found(deployment, str(deployment), start, last, _("The rules were not met at the start."))
    return outcome


def _met(approval_request: ApprovalRequest, words: list[ApprovalDecision]) -> bool:
    rules = quorum.rules_of(approval_request)
    yes = (word for word in words if word.decision in word.COUNTING and word.digest == approval_request.digest)
    persons = [(word.account.person_key, frozenset(word.roles)) for word in yes]
    # A rule that asks nobody is met by nobody; no rule at all is never met.
    return bool(approval_request.rules) and (not rules or quorum.standing(rules, persons).met)


APPROVAL_AFTER_START = SavedTest(
    key="approval-after-start",
    title=_("Approval later than start"),
    question=_("Was each deployment in a protected environment approved before it started?"),
    columns=(_("deployment"), _("started"), _("last approval"), _("finding")),
    run=approved_late,
)


def role_missing(scope: Scope) -> Outcome:
    """Look at each word: had the one for whom it counts one of the roles, and was the other his delegate?"""
    outcome = Outcome()
    for word in scope.approvals():
        outcome.examined += 1
        whose = word.on_behalf or word.account
        held = scope.then.roles(whose.pk, word.at, word.approval_request.environment_id)
        said = listed(word.roles)
        asked = {rule["role"] for rule in word.approval_request.rules}
        if not held & set(word.roles) & asked:
            finding = _("The approver held none of the roles.")
        elif set(word.roles) - held:
            finding = _("The approver did not hold all of the roles.")
        elif word.on_behalf is not None and whose.pk not in scope.then.stood_in_for(word.account_id, word.at):
            finding = _("There was no valid delegation.")
        else:
            continue
        about = word.approval_request.release or word.approval_request
        outcome.found(about, str(about), str(word.account), word.at, said, listed(sorted(held)), finding)
    return outcome


APPROVER_WITHOUT_ROLE = SavedTest(
    key="approver-without-role",
    title=_("Approver without the role at the time"),
    question=_("Did everybody who made an approval decision hold the role at that very moment?"),
    columns=(_("release"), _("person"), _("time"), _("roles claimed"), _("roles held"), _("finding")),
    run=role_missing,
)


def same_address(scope: Scope) -> Outcome:
    """Compare the address of each word of approval with that of the application for the same round."""
    outcome = Outcome()
    said = scope.approvals().filter(approval_request__release__isnull=False)
    label = Concat(
        Value("releases.Release:"), Cast("approval_request__release_id", TextField()), output_field=TextField()
    )
    applied: dict[str, list[Event]] = {}
    found = Event.objects.filter(
        object__in=said.order_by().values(label_=label),
        operation="release:submit",
        kind="operation",
        at__lt=scope.until,
    )
    for event in found.order_by("at"):
        applied.setdefault(event.object, []).append(event)
    for word in counting(said):
        outcome.examined += 1
        earlier = [
            e for e in applied.get(f"releases.Release:{word.approval_request.release_id}", []) if e.at <= word.at
        ]
        if not earlier:
            continue
        address, his = earlier[-1].contents["request"]["address"], word.signature.get("address", "")
        if address and address == his:
            release = word.approval_request.release
            outcome.found(
                release, str(release), str(word.approval_request.requested_by), str(word.account), address, word.at
            )
    return outcome


SAME_ADDRESS = SavedTest(
    key="same-address",
    title=_("Requester and approver at the same address"),
    question=_("Did an approval request and an approval decision on it come from the same network address?"),
    columns=(_("release"), _("requester"), _("approver"), _("address"), _("time")),
    run=same_address,
)


# Model, the columns of who decided, the column of when.
DECISIONS: tuple[tuple[type[Model], str, str], ...] = (
    (r.ApprovalDecision, "account on_behalf", "at"), (r.FinalCheck, "account", "signed_at"), (r.DecisionRequest, "answered_by", "answered_at"),
    (r.Deployment, "verified_by", "started_at"), (r.MonitoringPeriod, "recorded_by", "started_at"), (r.ChecklistItem, "signed_by", "signed_at"),
    (r.Rollback, "authorised_by assessed_by", "raised_at"), (r.Waiver, "requested_by decided_by", "requested_at"),
    (r.FollowUp, "completed_by", "completed_at"), (r.Document, "approved_by checked_by", "updated_at"),
    (e.AccessGrant, "granted_by", "created_at"), (e.AccessGrant, "confirmed_by", "confirmed_at"),
    (e.AccessRequest, "decided_by", "decided_at"), (e.AccessReviewItem, "decided_by", "decided_at"),
    (e.Delegation, "confirmed_by", "confirmed_at"), (e.RequestedChange, "decided_by", "decided_at"),
)  # fmt: skip


def service_decided(scope: Scope) -> Outcome:
    """Look at each decision of the period; an account that was a service when it decided counts, whatever it is now."""
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
