"""dump:delete: the backup of a deployment is deleted from its target after the retention time of the procedure (J5)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from environments.models import DeploymentTarget
from environments.targets.base import Fenced, StepContext, StepFailed, StillRunning
from releases.models import DeployedVersion, Deployment, Rollback, Step
from releases.queries.target_spec import spec_of
from releases.step_types.backup import DropBackup, DropParameters

SECONDS = 600.0
# A target that could not be reached is tried again after this time.
AGAIN = timedelta(days=1)


@dataclass(frozen=True)
class Dump:
    """A backup on a target. until: the end of its retention; kept_for: why it is kept after that, else empty."""

    step: Step
    taken: datetime
    until: datetime
    kept_for: str = ""


def dumps() -> list[Dump]:
    """Return the backups on targets, the oldest first, each with the end of its retention.

    Some stay whatever their age: the newest of each target, that of the deployed version, and those of deployments that
    are not over or have an open rollback.
    """
    lying = Step.objects.filter(step_type="backup", phase="deployment", state="succeeded", result__dump__isnull=False)
    lying = lying.filter(result__deleted_at__isnull=True, ended_at__isnull=False).order_by("ended_at")
    steps = list(lying.select_related("deployment__procedure", "deployment__application", "deployment__environment"))
    newest, held = _newest(steps), _held()
    found = []
    for step in steps:
        taken, deployment = step.ended_at, step.deployment
        assert taken is not None
        days = deployment.content.retention.backups_days
        why = ""
        if deployment.pk in newest:
            why = _("the newest backup of the deployment target, or the backup of the deployed version")
        elif deployment.pk in held:
            why = _("the deployment or its rollback has not ended")
        found.append(Dump(step, taken, taken + timedelta(days=days), why))
    return found


def expired(moment: datetime) -> list[Step]:
    """Return the backups that are to be deleted now."""
    due = [dump.step for dump in dumps() if dump.until < moment and not dump.kept_for]
    return [step for step in due if not _tried_lately(step, moment)]


def delete(step_id: int) -> bool:
    """Delete one expired backup from its target, and record it; return whether it was deleted now.

    A failure (host unreachable, target locked) is recorded with its reason and tried again.
    """
    step = next((row for row in expired(now()) if row.pk == step_id), None)
    if step is None:
        return False
    deployment, failure, done = step.deployment, "", {}
    rows = DeploymentTarget.every.select_related("application", "environment")
    here = rows.filter(application=deployment.application, environment=deployment.environment)
    target = (here.filter(pk=step.target_id) if step.target_id is not None else here).first()
    try:
        if target is None:
            raise StepFailed(_("The deployment target has been removed."))
        parameters = DropParameters(sha256=step.result["sha256"])
        done = DropBackup().run(_context(step, target), parameters)
    except (StepFailed, StillRunning, Fenced) as fault:
        failure = str(fault)[:300]
    with operation("dump:fail_deletion" if failure else "dump:delete", (Step, step_id), reason=failure) as op:
        row, at = op.get(Step), now().isoformat()
        row.result = {
            **row.result,
            **({"deletion_failed_at": at, "deletion_failure": failure} if failure else {"deleted_at": at}),
        }
        op.details.update({"path": row.result["dump"], "sha256": row.result["sha256"], **done})
    return not failure


def _newest(steps: Collection[Step]) -> set[int]:
    """Return the deployments whose backup is the newest of its target, or that installed the deployed version."""
    last = {(step.deployment.application_id, step.deployment.environment_id): step.deployment_id for step in steps}
    here = {name: OuterRef(name) for name in ("application", "environment", "release")}
    brought = Deployment.objects.filter(**here, state__in=Deployment.VERIFIED).order_by("-pk").values("pk")[:1]
    pointers = DeployedVersion.objects.exclude(release=None).annotate(brought=Subquery(brought))
    return {*last.values(), *pointers.exclude(brought=None).values_list("brought", flat=True)}


def _held() -> set[int]:
    under_way = Deployment.objects.filter(state__in=Deployment.OCCUPYING).values_list("pk", flat=True)
    open_ = Rollback.objects.exclude(state__in=list(Rollback.ENDS)).values_list("deployment", flat=True)
    return {*under_way, *open_}


def _tried_lately(step: Step, moment: datetime) -> bool:
    failed = parse_datetime(step.result.get("deletion_failed_at", ""))
    return failed is not None and moment < failed + AGAIN


def _context(step: Step, target: DeploymentTarget) -> StepContext:
    def nothing(*given: Any) -> None:
        """Take what a deployment would write or ask, and discard it."""

    return StepContext(
        key=f"{step.deployment_id}/dump",
        fencing_token=1,
        deployment_key=f"deployment:{step.deployment_id}",
        target=spec_of(target),
        repository="",
        wanted=None,
        previous=None,
        configuration={},
        previous_configuration={},
        earlier={},
        deadline_seconds=SECONDS,
        output=nothing,
        heartbeat=nothing,
    )
