"""Chapter 3: the beta and then 1.3.0 go through development and staging, with real tests as evidence."""

from __future__ import annotations

from typing import Any

from releases.demo.stage import Stage

BETA = "1.3.0-beta.1"


def play(stage: Stage) -> dict[str, Any]:
    """Prove both; production first is refused, and coverage is compared unrounded."""
    beta = stage.write(
        BETA,
        kind="pre_release",
        branch="release/1.3",
        changes=[("feature", "Datasets can be tagged")],
        EXPORT_LIMIT="500",
    )
    stage.manager.do("release:lock_scope", beta)
    stage.prove(BETA, coverage=False)
    deployments = {f"{BETA} {name}": stage.deploy_lower(BETA, name) for name in ("development", "staging")}
    stage.manager.do("release:complete_testing", beta)
    stage.manager.do("release:close", beta)

    release = stage.release["1.3.0"]
    stage.manager.do("release:lock_scope", release)
    first = stage.operator.refused("deployment:request", release, environment_id=stage.ids["production"])
    read = stage.prove("1.3.0", coverage=False)
    coverage = {}
    for covered, wanted in ((8999, "not_passed"), (9000, "passed")):
        report = f'<coverage line-rate="{covered / 10000}" lines-covered="{covered}" lines-valid="10000"/>'
        summary = stage.upload("1.3.0", "coverage", report.encode(), "development")["summary"]
        result = stage.gates("1.3.0", "production")["coverage"]
        coverage[summary] = result
        stage.check(result == wanted, f"{summary} gave {result}")
    real = stage.kept["coverage 1.3.0"]
    read["coverage"] = stage.upload("1.3.0", "coverage", real, "development")["summary"]
    deployments |= {f"1.3.0 {name}": stage.deploy_lower("1.3.0", name) for name in ("development", "staging")}
    items = stage.sign_checklist("1.3.0")
    documents = stage.documents("1.3.0")
    stage.assign_team("1.3.0")
    stage.manager.do("release:refresh_from_git", release)
    results = stage.gates("1.3.0", "production")
    stage.check(results["tag"] == results["branch"] == "passed", f"tag and branch are not proven: {results}")
    stage.manager.do("release:complete_testing", release)
    laid = {name: stage.places[name].measure().code for name in ("development", "staging")}
    there = set(laid.values()) == {stage.tree("1.3.0")}
    stage.check(there, f"1.3.0's tree does not lie on the lower targets: {laid}")
    return {
        "production first": first.reasons,
        "tests": read,
        "coverage, unrounded": coverage,
        "deployments": deployments,
        "tree on the targets": {name: tree[:16] for name, tree in laid.items()},
        "tag": "name, annotation, signature and branch checked with git",
        "checklist items signed": items,
        "documents ready": documents,
    }
