"""The digests of a deployment before it, under it and after its rollback: what the rollback must leave is compared with
them.
"""

from typing import Any

from releases.models import Deployment


def digests(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Return the three digests before the deployment (from its backup), under the new version, after the rollback;
    `expected` where the rollback was to leave something else than what was before; and as it was resolved, if it was.
    """
    backup: dict[str, Any] = next(
        (s.result for s in deployment.steps.filter(step_type="backup", state="succeeded")), {}
    )
    base = deployment.previous.get("deployed_version", {})
    before = {
        "code": _code(base),
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


def _code(base: dict[str, Any]) -> str:
    """Return the code that was deployed before: the tree that Git knows of the commit.

    Of an artefact, and where no code was there because a pipeline or a playbook deploys, it is what was measured then.
    """
    measured = "artefact" in base or base.get("code") == ""
    return str(base.get("code" if measured else "tree", ""))


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
