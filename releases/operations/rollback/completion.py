"""What ends the rollback, inside the step's own operation: the proof by digest and the pointer."""

from typing import Any

from audit.clock import now
from audit.operation import Operation
from releases.models import Deployment, Release, Rollback, Step
from releases.operations.deployment.completion import (
    mark_release_rolled_back,
    restore_previous_version,
    start_monitoring,
)
from releases.operations.rollback.draft import draft_documents
from releases.step_types.words import gettext_noop


def digests(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Return the three digests before the run (from its backup), under the new version, after the rollback; `expected`
    where the rollback was to leave something else than what was before; and as it was settled, if it was.
    """
    backup: dict[str, Any] = next(
        (s.result for s in deployment.steps.filter(step_type="backup", state="succeeded")), {}
    )
    base = deployment.previous.get("deployed_version", {})
    before = {
        "code": base.get("tree", ""),
        "configuration": backup.get("configuration", "") if backup else base.get("configuration_digest", ""),
        "data": backup.get("data", ""),
    }
    after = deployment.measured.get("rollback", {})
    expected = before | {"data": _data(deployment, backup, after)}
    return {
        "before": before,
        "under": deployment.measured.get("verification", {}),
        "after": after,
        **({"expected": expected} if expected != before else {}),
        **({"resolved": deployment.measured["resolve"]} if "resolve" in deployment.measured else {}),
    }


def _data(deployment: Deployment, backup: dict[str, Any], after: dict[str, str]) -> str:
    """Return the digest of the data that a rollback must leave: the backup's where it was restored; else what its step
    found there, with what people wrote since, and after a reverse migration in the schema of before.
    """
    before = str(backup.get("data", ""))
    if not after:
        return before
    steps = deployment.steps.filter(step_type="database_update", phase="rollback").order_by("ordinal")
    if (step := steps.last()) is None:
        return after.get("data", "")
    said = step.result
    other_schema = "schema" in said and said["schema"] != backup.get("schema", said["schema"])
    return before if said.get("restored") or other_schema or "data" not in said else str(said["data"])


def complete(op: Operation, rollback: Rollback, deployment: Deployment, release: Release) -> Step | None:
    """Compare what was measured with what was to be; equal: everything is back. Unequal: the rollback faltered."""
    found = digests(deployment)
    rollback.facts = {**rollback.facts, "digests": found}
    wanted = found.get("expected", found["before"])
    different = [key for key in ("code", "configuration", "data") if wanted[key] != found["after"].get(key)]
    if different:
        rollback.fail()
        deployment.fail_rollback()
        op.notify_as("rollback:fail")
        rollback.facts["different"] = different
        deployment.blockers = [gettext_noop("Not restored: %(what)s") % {"what": ", ".join(different)}]
        return None
    rollback.start_verification()
    op.notify_as("rollback:complete")
    rollback.restored_at = now()
    deployment.complete_rollback()
    deployment.ended_at = now()
    restore_previous_version(deployment, found["after"])
    production = deployment.environment.tier == "production"  # no other run moves a release
    if production and release.state in ("releasing", "monitoring", "completed"):
        mark_release_rolled_back(release)
    draft_documents(rollback)
    return deployment.steps.filter(phase="rollback_verification", state="pending").order_by("ordinal").first()


def complete_verification(rollback: Rollback, deployment: Deployment) -> None:
    """The checks after the rollback hold: watch again, or, where nothing was in force, go on to the report."""
    if deployment.previous.get("deployed_version"):
        rollback.start_monitoring()
        start_monitoring(deployment, rollback)
    else:
        rollback.start_reporting()
