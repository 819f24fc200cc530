"""target:test: a target's options are tested before they are kept; nothing is changed anywhere."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.utils.translation import get_language, gettext as _, override

from audit.operation import operation
from audit.refusals import InvalidInput
from environments import access
from environments.language import listed
from environments.models import Application, DeploymentTarget, Environment
from environments.targets.base import StepFailed, TargetSpec
from environments.targets.examine import Found, examine
from environments.targets.masking import clean
from environments.targets.ssh import place as ssh
from releases.metric_sources.base import TargetSource
from releases.metric_sources.collection import look, places_of
from releases.queries.repository import credentials_of
from releases.queries.target_spec import configuration_deployed, spec_of
from releases.queries.target_validity import require_separate, require_valid
from releases.sources import git

# Seconds: a test on the target's host may connect first; each other one has five seconds of its own.
MOST_SECONDS = 40.0


def try_settings(
    *, application_id: int, environment_id: int, root: str, settings: Mapping[str, Any], target_id: int | None = None
) -> list[Found]:
    """Test everything that options name, as they are given, and return a result for each.

    It needs the same permission and signature as keeping them. The tests run on the machine of the pages, and on the
    target's host over SSH; a program of the target is not run. Raises InvalidInput for faults of the options.
    """
    rows = [(DeploymentTarget, target_id)] if target_id is not None else []
    with operation("target:test", *rows, sign=True) as op:
        access.require("edit_target", application=application_id)
        require_valid(settings)
        if target_id is not None:
            known = op.get(DeploymentTarget)
            if (known.application_id, known.environment_id) != (application_id, environment_id):
                raise InvalidInput(_("This deployment target is of another application or environment."))
        target = DeploymentTarget(
            pk=target_id,
            application=Application.objects.get(pk=application_id),
            environment=Environment.objects.get(pk=environment_id),
            root=root,
            options=dict(settings),
        )
        require_separate(target)
        op.details.update(root=root, settings=dict(settings))
    # All that the database knows is read before: the tests run beside this thread, each until its time is over.
    spec = spec_of(target)
    values, secrets = configuration_deployed(target.application, target.environment)
    repository, credentials = target.application.repository, credentials_of(target.application)
    looks: list[tuple[str, Callable[[], Iterable[Found]]]] = [
        ("folder", lambda: _on_target(spec)),
        ("repository", lambda: [_repository(repository, credentials)]),
        ("metrics", lambda: [_metrics(spec, values)]),
    ]
    found = [one for key, asked in looks for one in within(MOST_SECONDS, key, asked)]
    return [Found(one.key, one.result, clean(one.says, secrets)) for one in found]


def within(seconds: float, key: str, asked: Callable[[], Iterable[Found]]) -> list[Found]:
    """Return the result of a test; one that takes longer, or fails unexpectedly, is unknown."""
    found: list[Found] = []
    language = get_language() or "ja"

    def run() -> None:
        with override(language):
            try:
                found.extend(asked())
            except Exception as fault:  # noqa: BLE001  whatever it is, the reader must see that nothing was found out
                found.append(Found(key, "unknown", f"{type(fault).__name__}: {fault}"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return [Found(key, "unknown", _("There was no answer within %(seconds)d seconds.") % {"seconds": seconds})]
    return found


def _on_target(spec: TargetSpec) -> Iterable[Found]:
    elsewhere = ssh.lies_elsewhere(spec)
    try:
        found = examine(spec)
    except StepFailed as fault:
        yield Found("connection", "failed", str(fault))
        for key in ("folder", "programs", "ready", "log"):
            yield Found(key, "unknown", _("not checked, because the host cannot be reached"))
        return
    if elsewhere:
        yield Found("connection", "passed", _("connected as %(where)s") % {"where": ssh.place_of(spec).label})
    yield from found


def _repository(repository: str, credentials: git.Credentials) -> Found:
    try:
        refs = git.reach(repository, credentials)
    except git.SourceUnavailable as fault:
        return Found("repository", "failed", str(fault))
    if not refs:
        return Found("repository", "unknown", _("can be read, and has neither branch nor tag"))
    return Found("repository", "passed", _("can be read (%(n)d branches and tags)") % {"n": refs})


def _metrics(spec: TargetSpec, values: Mapping[str, str]) -> Found:
    places = places_of(spec.settings)
    here = [
        one
        for one in places
        if not one.source.runs_program and not (ssh.lies_elsewhere(spec) and isinstance(one.source, TargetSource))
    ]
    if not here:
        text = _("The metrics come from a program of the deployment target, which this check does not run.")
        return Found("metrics", "unknown", text)
    if "metric_sources" not in spec.settings and not spec.settings.get("metrics_url"):
        return Found("metrics", "unknown", _("No metrics address is given, so nothing can be measured."))
    given = dict(values) if any(one.source.needs_configuration for one in here) else {}
    looked = look(spec, here, {}, given)
    if looked.errors:
        return Found("metrics", "failed", "; ".join(f"{key}: {error}" for key, error in looked.errors.items()))
    if not looked.up:
        return Found("metrics", "failed", _("The metrics address does not answer."))
    known = sorted(name for name, value in looked.values.items() if value is not None)
    return Found("metrics", "passed", _("answers; metrics read now: %(names)s") % {"names": listed(known) or "—"})


def unreadable(repository: str, credentials: git.Credentials | None = None) -> str:
    """Return why a repository cannot be read now; empty when it can. One on another host is asked over the network."""
    try:
        git.reach(repository, credentials or git.Credentials())
    except git.SourceUnavailable as fault:
        return str(fault)
    return ""
