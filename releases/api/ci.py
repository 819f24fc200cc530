"""Calls of CI: request and start a deployment in one, follow it, and report for a pipeline that deploys by itself."""

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field

from environments import access
from releases.api import shapes
from releases.api.once import writes
from releases.api.rows import deployment_numbered, environment_named, release_named
from releases.api.token import Caller, caller_of
from releases.api.words import Body, DeploymentState, Id, ReleaseState, Slug, Version, Why
from releases.models import Deployment
from releases.operations.deployment.request import request as request_operation
from releases.operations.deployment.schedule import schedule
from releases.operations.step.report import Result, key_of, report, waiting_step
from releases.reporting.approval_statement import approval_statement, wanted_by

ci = Router(tags=["ci"])


class CiDeploymentIn(Body):
    """The deployment to request and start now."""

    application: Slug
    version: Version
    environment: Slug
    reason: Why = ""


class ReportIn(Body):
    """What became of the pipeline that deploys by itself: the key that waited, url of its run, and its own words."""

    key: Annotated[str, Field(max_length=50)]
    result: Result
    url: Annotated[str, Field(max_length=500)] = ""
    says: Annotated[str, Field(max_length=500)] = ""


class WaitsForOut(Schema):
    """The report that a deployment waits for: what the pipeline does with which version (empty: none), until when.

    key: for the report, which counts for this attempt of this step alone.
    """

    key: str
    ordinal: int
    task: str
    version: str
    until: datetime


class CiDeploymentOut(Schema):
    """A deployment as the one call for CI shows it."""

    id: int
    release: str
    environment: str
    state: DeploymentState
    release_state: ReleaseState
    blockers: list[str]
    steps: list[shapes.StepOut]
    rollback: shapes.RollbackOut | None
    waits_for: WaitsForOut | None


@ci.post("", response=CiDeploymentOut)
@writes
def deploy(request: HttpRequest, fields: CiDeploymentIn) -> CiDeploymentOut:
    """Request a deployment, or take an already requested one, and start it now."""
    caller = caller_of(request)
    environment = environment_named(caller, fields.environment)
    release = release_named(caller, fields.application, fields.version)
    waiting = Deployment.objects.filter(release=release, environment=environment, state="requested").first()
    deployment = waiting or request_operation(release.pk, environment_id=environment.pk, reason=fields.reason)
    schedule(deployment.pk, reason=fields.reason)
    return _out(caller, deployment.pk)


@ci.get("/{int:deployment_id}", response=CiDeploymentOut)
def show_ci_deployment(request: HttpRequest, deployment_id: Id) -> Any:
    """Show a deployment in short."""
    return _out(caller_of(request), deployment_id)


@ci.get("/{int:deployment_id}/approval", response=dict[str, Any])
def show_approval(request: HttpRequest, deployment_id: Id) -> HttpResponse:
    """Show the signed statement that the deployment has its approval now, for the pipeline that it waits for."""
    caller = caller_of(request)
    deployment = deployment_numbered(caller, deployment_id, to_read=False)
    if not access.may(caller.account, "start", deployment.environment, deployment.application_id):
        raise access.lacking("start", deployment.environment, caller.account, deployment.application_id)
    statement = approval_statement(deployment, caller.account)
    return HttpResponse(statement, content_type="application/json")


@ci.post("/{int:deployment_id}/report", response=CiDeploymentOut)
@writes
def report_external_deployment(request: HttpRequest, deployment_id: Id, fields: ReportIn) -> CiDeploymentOut:
    """Report what became of the pipeline for which the deployment waits; its next step begins at once."""
    caller = caller_of(request)
    deployment = deployment_numbered(caller, deployment_id, to_read=False)
    report(deployment.pk, **fields.model_dump())
    return _out(caller, deployment.pk)


def _out(caller: Caller, deployment_id: int) -> CiDeploymentOut:
    return ci_deployment_out(deployment_numbered(caller, deployment_id))


def ci_deployment_out(deployment: Deployment) -> CiDeploymentOut:
    """Return a deployment as the one call for CI shows it."""
    return shapes.filled(
        CiDeploymentOut,
        deployment,
        release=str(deployment.release),
        environment=deployment.environment.slug,
        release_state=deployment.release.state,
        blockers=shapes.blockers_of(deployment),
        steps=[shapes.step_out(step) for step in deployment.steps.select_related("target")],
        rollback=shapes.rollback_out(deployment),
        waits_for=_waits_for(deployment),
    )


def _waits_for(deployment: Deployment) -> WaitsForOut | None:
    step = waiting_step(deployment.pk)
    if step is None or step.reported or step.lease_until is None:
        return None
    version = wanted_by(deployment, step).get("version", "")
    task, until = step.parameters["task"], step.lease_until
    return WaitsForOut(key=key_of(step), ordinal=step.ordinal, task=task, version=version, until=until)
