"""Chapter 7: 1.4.0 breaks under load, the trigger fires, and the earlier state is restored, proven by digest."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from releases.demo.site import plain, until
from releases.demo.stage import Stage
from releases.demo.targets import Load

ROLLBACK = (
    "service_control:stopped",
    "code_deploy:switched",
    "database_update:restored",
    "configuration_update:restored",
    "service_control:started",
)
ERROR_RATE = 0.1


def play(stage: Stage) -> dict[str, Any]:
    """Verify, send traffic until the alarm, and compare the target before, under and after 1.4.0."""
    place, deployment = stage.places["production"], stage.deployment["1.4.0"]
    before = stage.kept["before 1.4.0"]
    stage.verify(deployment)
    under = place.measure()
    stage.check(under.code == stage.tree("1.4.0"), "1.4.0's tree does not lie on production")
    load = Load(stage.state, place, "traffic-1.4.0", rate=400, seconds=300)
    rollback = until("the trigger to fire", lambda: stage.service.deployment_status(deployment)["rollback"], 120, 0.3)
    until(
        "the rollback to start",
        lambda: place.journal(deployment=f"deployment:{deployment}", effect="service_control:stopped"),
        60,
    )
    traffic = load.end()
    # Readers run from the first second of monitoring after the rollback; they change nothing that is compared.
    again = Load(stage.state, place, "traffic-again", rate=60, seconds=300, write_share=0)
    # On a slow machine the response time fires in the same measurement; the error rate must still reach k of n.
    fired = rollback["facts"].get("trigger", {})
    rates = [measurement["error_rate"]["value"] for measurement in rollback["facts"].get("measurements", [])]
    over = sum(rate is not None and rate >= ERROR_RATE for rate in rates)
    stage.check(over >= fired.get("k", len(rates) + 1), f"the error rate was over {ERROR_RATE} only so often: {rates}")
    stage.finished(deployment, {"rolled_back"}, seconds=120)
    after = place.measure()
    digests = {"before": asdict(before), "under 1.4.0": asdict(under), "after": asdict(after)}
    same = [key for key in asdict(before) if getattr(before, key) == getattr(under, key)]
    stage.check(not same, f"under 1.4.0 these did not differ: {same}")
    stage.check(after == before, f"not everything came back: {digests}")
    until("the service to answer again", lambda: place.health().get("version") == "1.3.0", 30)
    lines = [line for line in place.journal(deployment=f"deployment:{deployment}") if line["effect"] in ROLLBACK]
    back = [line["effect"] for line in lines][-len(ROLLBACK) :]
    stage.check(tuple(back) == ROLLBACK, f"the five steps were not made in their order: {back}")
    restored = next(line for line in reversed(lines) if line["effect"] == "database_update:restored")
    kept = sorted((place.root / "backups").glob("*/*.jsonl"))
    address = f"/admin/rollback/{rollback['id']}/"
    until(
        "monitoring after the rollback to end",
        lambda: stage.service.deployment_status(deployment)["rollback"]["state"] == "reporting",
        300,
        0.5,
    )
    answered = again.end()
    report = plain(stage.manager.page(address))
    drafted = "Rollback report" in report or "ロールバック報告書" in report
    stage.check(drafted, "there is no drafted report on the rollback's page")
    return {
        "trigger": rollback["cause"],
        "error rate in the last measurements": rates,
        "traffic under 1.4.0": traffic,
        "digests": {when: {k: v[:16] for k, v in found.items()} for when, found in digests.items()},
        "rows written since the backup, kept in files": {path.name: sum(1 for _line in path.open()) for path in kept},
        "restored, in the target's journal": {k: v for k, v in restored.items() if k in ("at", "written_rows", "data")},
        "steps of the rollback": back,
        "version that answers": place.health().get("version"),
        "traffic afterwards": answered,
        "drafted report": drafted,
    }
