"""Releases: list, show with what blocks each one, and every verb of a release as one row below."""

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from django.conf import settings
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import get_language, gettext as _
from ninja import Router, Schema

from audit.actor import current
from audit.operation import operation
from audit.refusals import InvalidInput, SignatureRequired
from environments.application_scope import within
from environments.models import Environment
from releases.api import cursor as cursors, shapes
from releases.api.clearing import clears
from releases.api.once import writes
from releases.api.rows import application_named, environment_named, known, reach_all, release_named, release_numbered
from releases.api.since import CommitOut, since_out
from releases.api.token import Caller, caller_of
from releases.api.words import (
    Body,
    CommitId,
    Count,
    Id,
    Line,
    Moment,
    MustWhy,
    ReleaseState,
    Revision,
    Slug,
    Text,
    Ticket,
    Version,
    Why,
)
from releases.gates.base import PASSING, Answer, Known
from releases.gates.evaluation import evaluate
from releases.models import Deployment, Procedure, Release
from releases.operations.approval import submit
from releases.operations.release import (
    copy,
    create_tag,
    plan,
    prepare,
    read_merge_requests,
    reschedule,
    select_commit,
    set_version,
)
from releases.operations.release.withdraw_request import withdraw_request
from releases.queries import changes_since
from releases.queries.reviewed_requests import reading_of
from releases.worker.dry_run import dry_run

router = Router(tags=["releases"])
STATES = tuple(str(state) for state in Release.State.values)


class PlanIn(Body):
    """A release to plan."""

    application: Slug
    version: Version
    title: Line
    kind: Literal["regular", "standard", "emergency", "pre_release"] = "regular"
    criterion: Line = ""
    reason: Why = ""


class EditIn(Body):
    """Fields of a draft; what is left out stays as it is."""

    title: Line | None = None
    reason: Text | None = None
    ticket: Ticket | None = None
    impact: Text | None = None
    security_impact: Text | None = None
    risk: Literal["low", "medium", "high"] | None = None
    test_plan: Text | None = None
    rollback_plan: Text | None = None
    rollback_pre_authorised: bool | None = None
    data_loss_limit: Count | None = None
    rollback_on_failure: bool | None = None
    on_timeout: Literal["roll_back", "keep"] | None = None


class CommitIn(Body):
    """Branch, and the commit, branch or tag to select (empty: the head of the branch).

    `expected_commit`: the full id of the commit that the caller saw; the call is refused when it is another one by now.
    `accept_rolled_back`: select it although it was rolled back before.
    """

    branch: Line
    revision: Revision = ""
    expected_commit: CommitId | None = None
    accept_rolled_back: bool = False
    reason: Why = ""


class ChangeIn(Body):
    """A change in the release."""

    kind: Literal["breaking", "feature", "fix", "small"]
    text: Line
    ticket: Ticket = ""
    reason: Why = ""


class ConfigurationIn(Body):
    """The configuration version for an environment."""

    configuration_id: Id
    reason: Why = ""


class ScheduledStartIn(Body):
    """T-0, with its offset."""

    start: Moment
    reason: Why = ""


class RescheduleIn(Body):
    """T-0 in another window, and the reason."""

    start: Moment
    reason: MustWhy


class ReasonIn(Body):
    """An optional reason."""

    reason: Why = ""


class MustIn(Body):
    """A required reason."""

    reason: MustWhy


class VersionIn(Body):
    """Another version; if empty, the one that fits the changes."""

    version: Version | Literal[""] = ""
    reason: Why = ""


class CopyIn(Body):
    """The version of the copy, its title (empty: the same with the new version), and whether it copies the changes."""

    version: Version
    title: Line = ""
    with_changes: bool = False
    reason: Why = ""


class NothingIn(Body):
    """An empty body."""


def _edit(release_id: int, **fields: Any) -> Any:
    given = {name: value for name, value in fields.items() if value is not None}
    if not given:
        raise InvalidInput(_("Name at least one field."))
    return plan.edit(release_id, fields=given)


@dataclass(frozen=True)
class ApiVerb:
    """One verb on a row: its own path, the body it takes, and the action; without one it is a signature, for
    persons only.
    """

    name: str
    body: type[Schema]
    operation: Callable[..., Any] | None
    says: str


VERBS: tuple[ApiVerb, ...] = (
    ApiVerb("edit", EditIn, _edit, "Set fields of a draft."),
    ApiVerb("copy", CopyIn, copy.copy, "Copy to a new release; answers with the new one."),
    ApiVerb("set_version", VersionIn, set_version.set_version, "Choose another version for a draft."),
    ApiVerb(
        "select_commit",
        CommitIn,
        select_commit.select_commit,
        "Select the commit: branch, commit and Git tree hash from the repository.",
    ),
    ApiVerb("add_change_entry", ChangeIn, plan.add_change, "Add a change to a draft."),
    ApiVerb("set_configuration", ConfigurationIn, plan.set_configuration, "Choose a configuration."),
    ApiVerb(
        "set_scheduled_start",
        ScheduledStartIn,
        reschedule.set_scheduled_start,
        "Set the scheduled start, inside a change window.",
    ),
    ApiVerb("lock_scope", ReasonIn, prepare.lock_scope, "Lock the scope (T-14)."),
    ApiVerb("create_tag", ReasonIn, create_tag.make_tag, "Create the signed tag of a release whose scope is locked."),
    ApiVerb("refresh_from_git", NothingIn, read_merge_requests.refresh, "Refresh from Git and the forge."),
    ApiVerb("complete_testing", ReasonIn, prepare.complete_testing, "Complete testing (T-7)."),
    ApiVerb("close", ReasonIn, prepare.close, "Close a release that does not go to production."),
    ApiVerb("submit", ReasonIn, submit.submit, "Submit for approval."),
    ApiVerb("withdraw_request", ReasonIn, withdraw_request, "Withdraw the approval request."),
    ApiVerb("reopen_scope", MustIn, prepare.reopen_scope, "Reopen the scope; ends the approval request."),
    ApiVerb(
        "reschedule", RescheduleIn, reschedule.reschedule, "Reschedule an approved release to another change window."
    ),
    ApiVerb("cancel", MustIn, prepare.cancel, "Cancel the release."),
    ApiVerb("sign_final_check", ReasonIn, None, "The final check: a signature, so refused for a token."),
)


def refuse_to_sign(event: str, model: type[Model], pk: int) -> None:
    """Refuse a signed verb to an account that is not a person, and record the refusal as an event."""
    with operation(event, (model, pk)):
        if current().kind != "person":
            text = _("This operation requires a signature. Only a person can give it, on the web pages.")
            raise SignatureRequired(text)


def environment_statuses(caller: Caller, release: Release) -> list[shapes.EnvironmentStatusOut]:
    """Return the status of a release in each environment that the caller reads and the release is bound for."""
    found = []
    known = Known(release)
    ready = (release.procedure or Procedure.objects.of(release.application)) is not None
    places = changes_since.active(release)
    contents = {row.environment.pk: row for row in changes_since.kept(release, places)}
    pointers, chosen = {place.pk: pointer for place, pointer in places}, changes_since.chosen(release)
    for environment in caller.readable(release):
        production = environment.tier == Environment.Tier.PRODUCTION
        if not environment.targets.filter(application=release.application).exists():
            continue
        if production and not release.bound_for_production:
            continue
        asked = evaluate(release, environment, known=known) if ready and release.state not in Release.ENDS else []
        closed = [answer for answer in asked if answer.result not in PASSING]
        allows = release.state in Release.MAY_RUN[environment.tier]
        found.append(
            shapes.EnvironmentStatusOut(
                environment=environment.slug,
                can_start=allows and bool(asked) and not closed,
                state_allows=allows,
                blockers=[_blocker(answer, release) for answer in closed],
                gates=[shapes.filled(shapes.GateOut, answer) for answer in asked],
                since=since_out(contents[environment.pk], pointers[environment.pk], chosen.get(environment.pk)),
            )
        )
    return found


def _blocker(answer: Answer, release: Release) -> shapes.BlockerOut:
    japanese = (get_language() or "ja").startswith("ja")
    return shapes.filled(
        shapes.BlockerOut,
        answer,
        label=answer.label_ja if japanese else answer.label_en,
        clears=clears(answer, release),
        link=f"{settings.BASE_URL}/admin/release/{release.pk}/#{answer.anchor}",
    )


def _out(release_id: int) -> shapes.ReleaseOut:
    return shapes.release_out(Release.objects.select_related("application").get(pk=release_id), shapes.ReleaseOut)


@router.get("", response=shapes.ReleasePage)
def list_releases(
    request: HttpRequest,
    application: Slug | None = None,
    state: ReleaseState | None = None,
    limit: cursors.Limit = 50,
    cursor: cursors.Cursor = "",
) -> Any:
    """List releases, the newest first."""
    caller = caller_of(request)
    caller.read_any()
    rows = within(Release.objects.select_related("application"), caller.applications)
    if application:
        rows = rows.filter(application=application_named(caller, application))
    if state is not None:
        rows = rows.filter(state=known(state, STATES, "state"))
    found, following = cursors.page(rows, "release", cursor, limit)
    items = [shapes.release_out(row, shapes.ReleaseOut) for row in found]
    return shapes.ReleasePage(items=items, next=following)


@router.get("/{int:release_id}", response=shapes.ReleaseDetail)
def show_release(request: HttpRequest, release_id: Id) -> Any:
    """Show a release with what blocks it and what would clear it, per environment."""
    caller = caller_of(request)
    release = release_numbered(caller, release_id)
    deployments = Deployment.objects.filter(release=release, environment__in=caller.readable(release)).select_related(
        "release", "application", "environment", "requested_by", "scheduled_by"
    )
    reading = reading_of(Known(release))
    return shapes.release_out(
        release,
        shapes.ReleaseDetail,
        artefact=shapes.artefact_out(artefact) if (artefact := release.artefact_to_deploy) is not None else None,
        source=CommitOut(**commit) if (commit := changes_since.commit_of(release)) is not None else None,
        environments=environment_statuses(caller, release),
        changes=[shapes.filled(shapes.ChangeOut, change) for change in release.changes.all()],
        merge_requests=[shapes.filled(shapes.MergeRequestOut, row) for row in release.merge_requests.all()],
        merge_requests_fault=reading.fault if release.application.forge else "",
        uncovered_commits=[commit for commit, *_words in reading.uncovered],
        milestones=[shapes.filled(shapes.MilestoneOut, row, label=str(row)) for row in release.milestones.all()],
        deployments=[shapes.deployment_out(row, shapes.DeploymentLine) for row in deployments[: cursors.MOST]],
    )


@router.get("/{int:release_id}/dry-run/{slug:environment}", response=list[shapes.PlannedOut])
def show_dry_run(request: HttpRequest, release_id: Id, environment: Slug) -> Any:
    """Show what each step of the plan would do in an environment, secrets masked; nothing is executed."""
    caller = caller_of(request)
    where = environment_named(caller, environment)
    release = release_numbered(caller, release_id)
    caller.read_logs(where, release)
    japanese = (get_language() or "ja").startswith("ja")
    return [
        shapes.PlannedOut(label=step.label_ja if japanese else step.label_en, **asdict(step))
        for step in dry_run(release, where)
    ]


@router.post("", response=shapes.ReleaseOut)
@writes
def plan_release(request: HttpRequest, fields: PlanIn) -> shapes.ReleaseOut:
    """Plan a release: a draft of its version."""
    caller = caller_of(request)
    application = application_named(caller, fields.application)
    reach_all(caller, application)
    given = fields.model_dump(exclude={"application"})
    return _out(plan.plan(application_id=application.pk, **given).pk)


@router.get("/{slug:application}/{version}/gates/{slug:environment}", response=list[shapes.GateOut])
def show_gates(request: HttpRequest, application: Slug, version: Version, environment: Slug) -> Any:
    """Show what blocks a release from an environment."""
    caller = caller_of(request)
    where = environment_named(caller, environment)
    release = release_named(caller, application, version)
    caller.read(where, release)
    if (release.procedure or Procedure.objects.of(release.application)) is None:
        return []
    return [shapes.filled(shapes.GateOut, answer) for answer in evaluate(release, where)]


def serve(router: Router, noun: str, verb: ApiVerb, view: Callable[..., Schema], answer: type[Schema]) -> None:
    """Add the view of a verb on a row to the API."""
    view.__name__, view.__doc__ = f"{verb.name}_{noun}", verb.says
    view.__annotations__ = {"request": HttpRequest, f"{noun}_id": Id, "body": verb.body, "return": answer}
    assert inspect.signature(view).parameters["body"].annotation is verb.body
    router.post(f"/{{int:{noun}_id}}/{verb.name}", response=answer, summary=verb.says)(writes(view))


def _register(verb: ApiVerb) -> None:
    def view(request: HttpRequest, release_id: int, body: Any) -> shapes.ReleaseOut:
        caller = caller_of(request)
        release = release_numbered(caller, release_id)
        reach_all(caller, release.application)
        if verb.operation is None:
            refuse_to_sign(f"release:{verb.name}", Release, release.pk)
            return _out(release.pk)
        made = verb.operation(release.pk, **body.model_dump())
        return _out(made.pk if isinstance(made, Release) else release.pk)

    serve(router, "release", verb, view, shapes.ReleaseOut)


for _row in VERBS:
    _register(_row)
