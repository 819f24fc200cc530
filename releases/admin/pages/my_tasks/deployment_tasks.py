"""Open tasks about deployments and rollbacks, each list in a fixed number of queries. My tasks lists them."""

from collections.abc import Iterator

from django.db.models import Max, Prefetch, Q
from django.urls import reverse
from django.utils.translation import gettext as _

from environments.models import DeploymentTarget, Environment
from environments.targets.words import in_words
from releases.admin.components.links import page_of
from releases.admin.pages.my_tasks.task import MOST, Reader, Source, Task, task_on
from releases.gates import quorum
from releases.models import Deployment, MonitoringPeriod, PollFailure, Release, Rollback, Step
from releases.operations.deployment import decide, schedule, verify
from releases.operations.deployment.request import right_for
from releases.operations.monitoring import end
from releases.operations.rollback import confirm_late, decide as rollbacks
from releases.operations.step import confirm_manual
from releases.queries.rollback_causes import seen_of
from releases.queries.rollback_communication import uncommunicated

OPEN = ("requested", "verifying", "awaiting_decision", "failed", "stopped", "rollback_failed")


def _suspended(reader: Reader) -> Iterator[Task]:
    """Return what failed three times and is not retried automatically, for accounts that may resume it."""
    rows = PollFailure.objects.exclude(suspended_at=None).select_related(
        "deployment__release__application", "deployment__environment"
    )
    for row in reader.own(rows).order_by("pk")[:MOST]:
        deployment = row.deployment
        place = deployment.environment if deployment is not None else None
        if reader.rights.about(row).may("decide" if place is not None else "prepare", place):
            page = reverse("operation", args=["poll", "resume", row.pk])
            yield Task(_("Decide on repeated failure"), str(row), page, in_words(row.error)[:300], urgent=True)


def _deployments(reader: Reader) -> Iterator[Task]:
    rights, account = reader.rights, reader.account
    rows = (
        reader.own(Deployment.objects.filter(state__in=OPEN))
        .select_related("release__application", "environment", "scheduled_by", "requested_by")
        .annotate(answer_until=Max("decision_requests__due_at", filter=Q(decision_requests__answered_at=None)))
        .order_by("pk")[:MOST]
    )
    spoken = quorum.deciders_of({row.release_id for row in rows if row.state == "requested"})
    for row in rows:
        verb, what, urgent, why_not = {
            "requested": (
                "schedule",
                _("Schedule deployment"),
                False,
                schedule.why_not_permitted(account, row, spoken[row.release_id]),
            ),
            "verifying": ("verify", _("Verify deployment"), True, verify.why_not_permitted(account, row)),
            "awaiting_decision": ("decide", _("Decide how to continue"), True, decide.why_not_permitted(account, row)),
        }.get(row.state, ("resolve", _("Roll back or resolve"), True, ""))
        if rights.about(row).may(verb, row.environment) and not why_not:
            due, zone = row.answer_until or row.scheduled_start_at, row.environment.zone
            yield task_on(row, what, row.get_state_display(), due, zone=zone, urgent=urgent)


def _deployments_to_request(reader: Reader) -> Iterator[Task]:
    """Return the releases after the final check whose production deployment this reader may request."""
    if not (reader.rights.anywhere("schedule") or reader.rights.anywhere("request")):
        return
    targets = DeploymentTarget.objects.filter(environment__tier=Environment.Tier.PRODUCTION).select_related(
        "environment"
    )
    waiting_deployments = Deployment.objects.filter(state__in=Deployment.WAITING_TO_RUN)
    rows = (
        reader.own(Release.objects.filter(state="final_check_completed"))
        .select_related("application")
        .prefetch_related(Prefetch("application__targets", targets), Prefetch("deployments", waiting_deployments))
        .order_by("scheduled_start_at", "pk")[:MOST]
    )
    for row in rows:
        asked = {deployment.environment_id for deployment in row.deployments.all()}
        page = reverse("operation", args=["deployment", "request", row.pk])
        for place in dict.fromkeys(target.environment for target in row.application.targets.all()):
            if place.pk not in asked and reader.rights.about(row).may(right_for(place), place):
                words = _("Request production deployment")
                yield Task(words, str(row), page, str(place), row.scheduled_start_at, place.zone)


def _tasks(reader: Reader) -> Iterator[Task]:
    """Return the steps of a waiting deployment that this person must do and confirm, by name or by role."""
    rows = Step.objects.filter(
        step_type="manual", state="outcome_unknown", deployment__state="awaiting_decision"
    ).select_related(
        "deployment__release__application",
        "deployment__environment",
        "deployment__scheduled_by",
        "deployment__requested_by",
        "assignee",
    )
    for step in reader.own(rows).order_by("pk")[:MOST]:
        deployment = step.deployment
        held = reader.rights.about(step).held(deployment.environment)
        if not confirm_manual.why_not_permitted(reader.account, step, held):
            about, page, zone = f"{deployment} · {step}", page_of(deployment) + "#decide", deployment.environment.zone
            yield Task(_("Confirm manual step"), about, page, in_words(step.failure), zone=zone, urgent=True)


def _monitoring_periods(reader: Reader) -> Iterator[Task]:
    rows = reader.own(MonitoringPeriod.objects.filter(result="inconclusive", ended_at=None)).select_related(
        "deployment__release__application",
        "deployment__environment",
        "deployment__scheduled_by",
        "deployment__requested_by",
    )[:MOST]
    for deployment in (row.deployment for row in rows):
        may = reader.rights.about(deployment).may("verify", deployment.environment)
        if may and not end.why_not_permitted(reader.account, deployment):
            yield task_on(deployment, _("Record monitoring result"), at="#monitoring", urgent=True)


def _rollbacks(reader: Reader) -> Iterator[Task]:
    account = reader.account
    rows = (
        reader.own(Rollback.objects.exclude(state__in=list(Rollback.ENDS)))
        .select_related(
            "deployment__release__application", "deployment__procedure", "deployment__environment", "authorised_by"
        )
        .order_by("raised_at")[:MOST]
    )
    if reader.rights.anywhere("authorise_rollback"):
        rows = rows.prefetch_related("deployment__release__team_members__account")
    for row in rows:
        environment: Environment = row.deployment.environment
        rights = reader.rights.about(row)
        without_event = row.state == "assessed" and bool(uncommunicated(row))
        agrees = not confirm_late.why_not_permitted(account, row, rights.held(environment))
        decides = rights.may("authorise_rollback", environment) and not rollbacks.why_not_permitted(account, row)
        may, what = {
            "raised": (rights.may("assess_rollback"), _("Assess rollback")),
            "assessed": (agrees or decides, _("Authorise rollback") if decides else _("Approve late rollback"))
            if not without_event
            else (rights.may("assess_rollback") or decides, _("Communicate the rollback")),
            "authorised": (row.authorised_by_id is not None and agrees, _("Approve late rollback")),
            "failed": (rights.may("roll_back", environment), _("Retry rollback")),
            "reporting": (rights.may("assess_rollback"), _("Report and close the rollback")),
        }.get(row.state, (False, ""))
        if may:
            yield task_on(row, what, seen_of(row), zone=environment.zone, urgent=row.state != "reporting")


DEPLOYMENTS: list[Source] = [
    ("", _suspended),
    ("", _rollbacks),
    ("", _tasks),
    ("", _deployments),
    ("", _monitoring_periods),
    ("", _deployments_to_request),
]
