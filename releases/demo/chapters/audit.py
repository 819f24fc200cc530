"""Chapter 8: the auditor sees everything, can change nothing, and the ledger proves itself."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

from releases.demo.site import StoryFailed, plain, until
from releases.demo.stage import Stage

SEEN = (
    "release:plan",
    "approval:approve",
    "release:reopen_scope",
    "release:sign_final_check",
    "deployment:verify",
    "step:claim",
    "rollback:raise",
    "rollback:start",
    "deployed_version:confirm",
)


def play(stage: Stage) -> dict[str, Any]:
    """Read the timeline, try to change things, verify, and alter one row of a copy."""
    auditor = stage.auditor
    seen = {}
    for operation in SEEN:
        page = plain(auditor.page(f"/admin/timeline/?operation={operation}"))
        stage.check(operation in page, f"the auditor's timeline shows no {operation}")
        seen[operation] = page.count(operation)
    refusals = _tries(stage)
    holds = _verify(stage)
    compared = _manage("audit_reconcile")
    stage.check(compared.returncode == 0, f"the nightly comparison raises an alarm: {compared.stdout}")
    return {
        "events seen by the auditor": seen,
        "what the auditor may not do": refusals,
        "ledger": holds,
        "history and rows against the ledger": compared.stdout.strip(),
        "one row of a copy altered": _altered(stage),
    }


def _tries(stage: Stage) -> dict[str, int]:
    release, deployment = stage.release["1.3.0"], stage.deployment["1.3.0"]
    tried = {
        ("release:edit", release): stage.auditor.operate("release:edit", release, title="x"),
        ("release:cancel", release): stage.auditor.operate("release:cancel", release, reason="x"),
        ("deployment:stop", deployment): stage.auditor.operate("deployment:stop", deployment, reason="x"),
        ("rollback:raise", deployment): stage.auditor.operate(
            "rollback:raise", deployment, cause="performance_drop", note="x"
        ),
        ("release:plan", 0): stage.auditor.operate(
            "release:plan", application_id=stage.ids["datasets"], version="9.9.9", title="x", kind="regular"
        ),
    }
    done = [verb for (verb, _pk), answer in tried.items() if answer.status == 200]
    stage.check(not done, f"the auditor changed something: {done}")
    return {verb: answer.status for (verb, _pk), answer in tried.items()}


def _manage(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def _verify(stage: Stage) -> str:
    """Wait until the ledger signer has signed everything so far; verify, and keep the export."""
    export = stage.state / "ledger.jsonl"
    wanted = 0

    def look() -> str:
        nonlocal wanted
        checked = _manage("audit_verify", "--export", str(export))
        if checked.returncode:
            raise StoryFailed(f"the ledger does not verify: {checked.stdout} {checked.stderr[-300:]}")
        lines = [json.loads(line) for line in export.read_text("utf-8").splitlines()]
        wanted = wanted or int(lines[-1]["head"]["number"])
        signed = max((int(line["checkpoint"].split("\n")[1]) for line in lines if "checkpoint" in line), default=0)
        return checked.stdout.strip() if signed >= wanted else ""

    return str(until("a checkpoint over all of it", look))


def _altered(stage: Stage) -> dict[str, Any]:
    source, copy = stage.state / "ledger.jsonl", stage.state / "ledger-altered.jsonl"
    lines = source.read_text("utf-8").splitlines()
    rows = [i for i, line in enumerate(lines) if '"event"' in line and '"number"' in line]
    chosen = rows[len(rows) // 2]
    row = json.loads(lines[chosen])
    raw = base64.b64decode(row["event"])
    row["event"] = base64.b64encode(raw.replace(b'"outcome":"', b'"outcome":"x', 1)).decode()
    lines[chosen] = json.dumps(row)
    copy.write_text("\n".join(lines) + "\n", "utf-8")
    results = {}
    for path, wanted in ((source, 0), (copy, 1)):
        key = ("--key", str(stage.state / "ledger.pub"))
        ran = subprocess.run(
            [sys.executable, "audit/offline/ringi_verify.py", str(path), *key], capture_output=True, text=True
        )
        results[path.name] = (
            f"exit {ran.returncode}: {ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ''}"
        )
        if ran.returncode != wanted or (wanted and str(row["number"]) not in ran.stdout):
            raise StoryFailed(f"the offline verifier on {path.name}: {results[path.name]} {ran.stderr[-300:]}")
    return {"number altered": row["number"], **results}
