"""Chapter 5: 1.3.0 goes to production: six steps with real effects, checks, a second verifier, monitoring."""

from __future__ import annotations

from typing import Any

from releases.demo.site import until
from releases.demo.stage import Stage
from releases.demo.targets import Load

EFFECTS = (
    "backup:dumped",
    "backup:proved",
    "maintenance_mode:on",
    "code_deploy:laid",
    "code_deploy:switched",
    "database_update:migrated",
    "configuration_update:written",
    "service_control:started",
    "maintenance_mode:off",
)


def play(stage: Stage) -> dict[str, Any]:
    """Wait for the deployment, prove its effects on the target, verify, and wait for the end of monitoring."""
    place, deployment = stage.places["production"], stage.deployment["1.3.0"]
    stage.checks_done(deployment)
    effects = [line["effect"] for line in place.journal(deployment=f"deployment:{deployment}")]
    missing = [effect for effect in EFFECTS if effects.count(effect) != 1]
    stage.check(not missing, f"not once in the target's journal: {missing} of {effects}")
    own = stage.operator.refused("deployment:verify", deployment, confirmed=["data_integrity", "security_settings"])
    health, measured = place.health(), place.measure()
    right = health.get("version") == "1.3.0" and measured.code == stage.tree("1.3.0")
    stage.check(right, f"1.3.0 is not what runs: {health}")
    tables = {row[0] for row in place.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    load = Load(stage.state, place, "traffic-1.3.0", rate=60, seconds=600)
    stage.verify(deployment)
    stage.finished(deployment, {"succeeded"}, seconds=90)
    traffic = load.end()
    until("1.3.0 to be completed", lambda: stage.service.deployment_status(deployment)["release_state"] == "completed")
    return {
        "effects in the target's journal, in order": effects,
        "scratch database left behind": _scratch(stage),
        "version that answers": health.get("version"),
        "tables": sorted(tables),
        "code": measured.code[:16],
        "configuration": measured.configuration[:16],
        "the starter may not verify": own.reasons,
        "traffic during monitoring": traffic,
    }


def _scratch(stage: Stage) -> int:
    left = stage.places["production"].query("SELECT count(*) FROM pg_database WHERE datname LIKE 'ringi_scratch%'")
    stage.check(left[0][0] == 0, "a scratch database was left behind")
    return int(left[0][0])
