"""Evidence in; runs requested, scheduled and shown. Errors are problem+json (RFC 9457)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from ninja import File, Form, NinjaAPI, Schema
from ninja.files import UploadedFile

from audit.actor import acting
from audit.refusals import NotYou, Refused
from environments.models import Application, Environment
from releases.actions.deployment.request import request as request_run
from releases.actions.deployment.schedule import schedule
from releases.actions.evidence.hand_in import hand_in
from releases.api.token import TokenBearer, actor_of
from releases.gates.ask import answers
from releases.models import Deployment, Release


class TokenAPI(NinjaAPI):
    """ninja's API outside the session's sign-in; its own bearer token is asked on every path."""

    @property
    def urls(self) -> Any:
        """Return ninja's URLs, free of the redirect to the sign-in page."""
        patterns, app, namespace = super().urls
        for pattern in patterns:
            if pattern.callback is not None:
                login_not_required(pattern.callback)
        return patterns, app, namespace


api = TokenAPI(title="Ringi", version="1", urls_namespace="api", auth=TokenBearer(), docs_url=None)
STATUS = {"not_you": 403, "wrong_state": 409, "gate_closed": 409, "signature_needed": 403, "invalid": 422}


class EvidenceIn(Schema):
    """What a report is about."""

    application: str
    environment: str
    kind: str
    commit: str
    test_type: str = ""


class EvidenceOut(Schema):
    """What was read from it."""

    id: int
    digest: str
    values: dict[str, Any]
    sentence: str


class RunIn(Schema):
    """A run to be made now."""

    application: str
    version: str
    environment: str
    reason: str = ""


class GateOut(Schema):
    """One gate's answer."""

    gate: str
    verdict: str
    reason: str


class StepOut(Schema):
    """A step of a run."""

    ordinal: int
    phase: str
    kind: str
    state: str


class RollbackOut(Schema):
    """The way back of a run."""

    id: int
    cause: str
    state: str
    facts: dict[str, Any]


class RunOut(Schema):
    """A run as it stands."""

    id: int
    release: str
    environment: str
    state: str
    release_state: str
    blockers: list[str]
    steps: list[StepOut]
    rollback: RollbackOut | None


@api.exception_handler(Refused)
def refused(request: HttpRequest, exc: Refused) -> HttpResponse:
    """Answer a refusal with its reasons."""
    return JsonResponse(
        {
            "type": f"about:blank#{exc.kind}",
            "title": _("Refused"),
            "status": STATUS.get(exc.kind, 400),
            "detail": " ".join(str(r) for r in exc.reasons),
            "reasons": [str(r) for r in exc.reasons],
        },
        status=STATUS.get(exc.kind, 400),
        content_type="application/problem+json",
    )


def _environment(request: HttpRequest, slug: str) -> Environment:
    environment = Environment.objects.filter(slug=slug).first()
    scoped = request.auth.environments.all()  # type: ignore[attr-defined]
    if environment is None or environment not in scoped:
        raise NotYou(_("This token does not reach %(environment)s.") % {"environment": slug})
    return environment


def _out(deployment: Deployment) -> RunOut:
    rollback = deployment.rollbacks.first()
    return RunOut(
        id=deployment.pk,
        release=str(deployment.release),
        environment=deployment.environment.slug,
        state=deployment.state,
        release_state=deployment.release.state,
        blockers=[str(b) for b in deployment.blockers],
        steps=[StepOut(ordinal=s.ordinal, phase=s.phase, kind=s.kind, state=s.state) for s in deployment.steps.all()],
        rollback=RollbackOut(id=rollback.pk, cause=rollback.cause, state=rollback.state, facts=rollback.facts)
        if rollback
        else None,
    )


@api.post("/evidence", response=EvidenceOut)
def post_evidence(request: HttpRequest, fields: Form[EvidenceIn], file: File[UploadedFile]) -> Any:
    """Hand in one report; the same file twice is one evidence."""
    with acting(actor_of(request)):
        environment = _environment(request, fields.environment)
        application = Application.objects.filter(slug=fields.application).first()
        return hand_in(
            application.pk if application is not None else 0,
            environment_id=environment.pk,
            kind=fields.kind,
            commit=fields.commit,
            test_type=fields.test_type,
            content=file.read(),
        )


@api.post("/runs", response=RunOut)
def post_run(request: HttpRequest, fields: RunIn) -> RunOut:
    """Request a run and schedule it for now, as far as the access of the account reaches."""
    with acting(actor_of(request)):
        environment = _environment(request, fields.environment)
        release = _release(fields.application, fields.version)
        waiting = Deployment.objects.filter(release=release, environment=environment, state="requested").first()
        deployment = waiting or request_run(release.pk, environment_id=environment.pk, reason=fields.reason)
        schedule(deployment.pk, reason=fields.reason)
        return _out(Deployment.objects.get(pk=deployment.pk))


@api.get("/runs/{run_id}", response=RunOut)
def get_run(request: HttpRequest, run_id: int) -> RunOut:
    """Show a run."""
    deployment = Deployment.objects.filter(pk=run_id).first()
    if deployment is None:
        raise NotYou(_("There is no such run."))
    _environment(request, deployment.environment.slug)
    return _out(deployment)


@api.get("/releases/{application}/{version}/gates/{environment}", response=list[GateOut])
def get_gates(request: HttpRequest, application: str, version: str, environment: str) -> list[GateOut]:
    """Say what blocks a release from an environment."""
    where = _environment(request, environment)
    return [
        GateOut(gate=a.gate, verdict=a.verdict, reason=a.reason) for a in answers(_release(application, version), where)
    ]


def _release(application: str, version: str) -> Release:
    release = (
        Release.objects.filter(application__slug=application, version=version)
        .exclude(state__in=["rejected", "withdrawn", "failed", "rolled_back"])
        .first()
    )
    if release is None:
        raise NotYou(_("There is no such release."))
    return release
