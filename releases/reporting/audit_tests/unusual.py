"""Rare events, examined singly: emergencies, drift, changes by hand, and findings of the reconciliation."""

from collections import defaultdict
from typing import Any

from django.db.models import Count, F, Func, Min, Q, StringAgg, TextField, Value
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from audit.actor import name_of
from audit.models import Event
from audit.reconciliation import nightly
from environments.models import Account, DeploymentTarget
from releases.models import Drift, FollowUp, Release
from releases.reporting.audit_tests.base import Outcome, SavedTest, Scope

REVIEWS = ("retrospective_review", "full_review")


def emergencies(scope: Scope) -> Outcome:
    """Check each emergency deployment of the period; an open review is late from its due date on."""
    outcome = Outcome()
    deployments = scope.deployments().count()
    urgent = list(scope.deployments().filter(release__kind=Release.Kind.EMERGENCY))
    outcome.examined = len(urgent)
    share = f"{len(urgent)} / {deployments}" + (f" ({100 * len(urgent) / deployments:.1f} %)" if deployments else "")
    outcome.notes.append((_("Emergencies among the deployments"), share))
    follow_ups = defaultdict[int | None, list[FollowUp]](list)
    for follow_up in FollowUp.objects.filter(release__in={one.release_id for one in urgent}, key__in=REVIEWS).order_by(
        "pk"
    ):
        follow_ups[follow_up.release_id].append(follow_up)
    for deployment in urgent:
        reviews = follow_ups[deployment.release_id]
        for key in sorted(set(REVIEWS) - {follow_up.key for follow_up in reviews}):
            text = _("The review was never recorded as a follow-up action.")
            outcome.found(deployment, str(deployment), key, None, None, text)
        for follow_up in reviews:
            if (follow_up.completed_at or scope.until) > follow_up.due_at:
                said = (
                    _("The follow-up action was completed late.")
                    if follow_up.completed_at is not None
                    else _("The follow-up action is not completed.")
                )
                outcome.found(
                    deployment, str(deployment), str(follow_up), follow_up.due_at, follow_up.completed_at, said
                )
    return outcome


EMERGENCIES = SavedTest(
    key="emergencies",
    title=_("Emergency share and late reviews"),
    question=_("How many deployments were emergencies, and was each reviewed in time?"),
    columns=(_("deployment"), _("review"), _("due"), _("completed at"), _("finding")),
    run=emergencies,
)


def drifts(scope: Scope) -> Outcome:
    """Check each drift that was open in the period, ended or not."""
    outcome = Outcome(examined=DeploymentTarget.objects.count())
    open_then = Drift.objects.filter(found_at__lt=scope.until).filter(Q(ended_at=None) | Q(ended_at__gte=scope.since))
    for drift in open_then.select_related("target__application", "target__environment").order_by("found_at", "pk"):
        outcome.found(drift.target, str(drift.target), drift.words, drift.found_at, drift.ended_at)
    return outcome


DRIFTS = SavedTest(
    key="drift",
    title=_("Drift of deployment targets"),
    question=_("Was anything changed on a deployment target outside Ringi, and is the change still there?"),
    columns=(_("deployment target"), _("differences"), _("found at"), _("ended at")),
    run=drifts,
)


def by_hand(scope: Scope) -> Outcome:
    """Check the changes of the tables' owner under break-glass, by operation; every other write is an operation."""
    events, rows = Event.objects.filter(at__gte=scope.since, at__lt=scope.until).order_by(), Q(kind="row")
    table = Func(F("object"), Value(":"), Value(1), function="split_part", output_field=TextField())
    operations = events.filter(actor__gte="break-glass:", actor__lt="break-glass;").values_list(
        "operation_id", "actor", "reason"
    )
    outcome, tables = Outcome(events.filter(rows).count()), StringAgg(table, Value(", "), distinct=True, filter=rows)
    found = operations.annotate(
        first=Min("ledger_entry__number"), when=Min("at"), tables=tables, rows=Count("pk", filter=rows)
    )
    for _operation, actor, reason, *rest in found.order_by("first"):
        outcome.found(None, name_of(actor), reason, *rest)
    return outcome


BREAK_GLASS_CHANGES = SavedTest(
    key="break-glass-changes",
    title=_("Data changed directly, under break-glass"),
    question=_("Was any record changed by hand, outside every operation, and why?"),
    columns=(_("person"), _("reason"), _("number"), _("time"), _("object"), _("changed rows")),
    run=by_hand,
)


def history_unexplained(scope: Scope) -> Outcome:
    """Read the results and alarms of the period's reconciliations; a row found in several nights is listed once."""
    outcome, found = Outcome(), {}
    said = Event.objects.filter(kind="operation", at__gte=scope.since, at__lt=scope.until)
    bulk: dict[tuple[int, int], dict[str, Any]] = {}
    nights = said.filter(operation=nightly.OUTCOME).order_by("at")
    for event in nights.iterator(chunk_size=100):
        details = event.contents["after"]
        outcome.examined = max(outcome.examined, details["rows"] + details["present"])
        bulk |= {(write["first"], write["last"]): write for write in details["writes"]}
    for event in said.filter(operation=nightly.ALARM).order_by("at").iterator(chunk_size=100):
        for row in event.contents["after"]["rows"]:
            found[row["object"], row["row"]] = row
    names = dict(Account.objects.values_list("pk", "display_name"))
    for row in found.values():
        account = names.get(int(row["account"]), row["account"]) if row["account"] else ""
        at = parse_datetime(row["at"]) if row["at"] else None
        outcome.found(None, row["object"], row["row"] or "", at, account, nightly.reason_of(row))
    outcome.notes.append((_("ledger reconciliations made"), nights.count()))
    for write in bulk.values():
        words = _("%(count)s × %(table)s (events %(first)s to %(last)s)") % write
        outcome.notes.append((f"{write['operation']} · {write['actor']}", words))
    return outcome


UNEXPLAINED_HISTORY = SavedTest(
    key="unexplained-history",
    title=_("History that no event explains"),
    question=_(
        "Do the displayed history and the rows of the audited tables match what the ledger proves? Bulk writes "
        "that the history does not show are listed too."
    ),
    columns=(_("object"), _("history row"), _("time"), _("account"), _("finding")),
    run=history_unexplained,
)
