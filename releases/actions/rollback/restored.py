"""What ends the way back, inside the step's own door: the proof by digest and the pointer."""

from typing import Any

from audit.change import Act
from audit.clock import now
from releases.actions.deployment.verified import begin_watch, return_to_base, taken_back
from releases.actions.rollback.draft import draft_documents
from releases.models import Deployment, Release, Rollback, Step
from releases.steps.words import gettext_noop


def digests(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Return the three digests before the run (from its backup), under the new version, after the way back; `expected`
    where the way back was to leave something else than what was before; and as it was settled, if it was.
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
    """Return the digest of the data that a way back must leave: the backup's where it was restored; else what its step
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


def restored(act: Act, rollback: Rollback, deployment: Deployment, release: Release) -> Step | None:
    """Compare what was measured with what was to be; equal: everything is back. Unequal: the way back faltered."""
    found = digests(deployment)
    rollback.facts = {**rollback.facts, "digests": found}
    wanted = found.get("expected", found["before"])
    different = [key for key in ("code", "configuration", "data") if wanted[key] != found["after"].get(key)]
    if different:
        rollback.fail()
        deployment.fail_rollback()
        act.tell("rollback:fail")
        rollback.facts["different"] = different
        deployment.blockers = [gettext_noop("Not restored: %(what)s") % {"what": ", ".join(different)}]
        return None
    rollback.start_verification()
    act.tell("rollback:complete")
    rollback.restored_at = now()
    deployment.complete_rollback()
    deployment.ended_at = now()
    return_to_base(deployment, found["after"])
    production = deployment.environment.tier == "production"  # no other run moves a release
    if production and release.state in ("releasing", "monitoring", "completed"):
        taken_back(release)
    draft_documents(rollback)
    return deployment.steps.filter(phase="rollback_verification", state="pending").order_by("ordinal").first()


def back_checked(rollback: Rollback, deployment: Deployment) -> None:
    """The checks after the way back hold: watch again, or, where nothing was in force, go on to the report."""
    if deployment.previous.get("deployed_version"):
        rollback.start_monitoring()
        begin_watch(deployment, rollback)
    else:
        rollback.start_reporting()
