"""Releases over HTTP: listed, shown with their blockers, and moved by the same verbs as on the pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from releases.api.clearing import CLEARS
from releases.api.releases import VERBS
from releases.gates.evaluation import GATES
from releases.models import Release

from .conftest import ask, token_for


def test_a_release_names_its_blockers_and_their_remedies(world: Any, call: Callable[..., Any]) -> None:
    release = world.planned()
    before = call("get", f"/releases/{release.pk}").json()["environments"][0]["blockers"]
    assert [row["gate"] for row in before] == ["tests", "branch"], "the source has not been looked at"
    assert call("post", f"/releases/{release.pk}/refresh_from_git", {}).status_code == 200
    shown = call("get", f"/releases/{release.pk}").json()
    places = {row["environment"]: row for row in shown["environments"]}
    assert set(places) == {"development", "staging", "production"}
    assert not places["development"]["can_start"] and places["development"]["state_allows"]
    (blocker,) = places["development"]["blockers"]
    assert blocker["gate"] == "tests" and "Unit tests" in blocker["reason"]
    assert blocker["clears"] == f"Upload the evidence for commit {release.commit[:12]}: POST /api/v1/evidence."
    assert blocker["link"].endswith(f"/admin/release/{release.pk}/#evidence")
    assert not places["production"]["state_allows"]
    approval = next(row for row in places["production"]["blockers"] if row["gate"] == "approval")
    assert "committee" in approval["clears"] and approval["link"].endswith("#approvals")
    world.evidence("1.3.0")
    again = call("get", f"/releases/{release.pk}").json()
    assert next(row for row in again["environments"] if row["environment"] == "development")["can_start"]
    assert [change["kind"] for change in again["changes"]] == ["feature"]
    assert len(again["milestones"]) == 5


def test_every_gate_type_has_a_remedy() -> None:
    assert set(CLEARS) >= {gate.name for gate in GATES}


def test_a_narrow_token_sees_only_its_environments(world: Any) -> None:
    release = world.planned()
    narrow = token_for(world, world.people["ci"], "staging")
    shown = ask("get", f"/releases/{release.pk}", token=narrow).json()
    assert [row["environment"] for row in shown["environments"]] == ["staging"]
    from environments.operations.token.issue import issue_token

    with world.acting_as("administrator"):
        _token, none = issue_token(world.people["ci"].pk)
    assert ask("get", f"/releases/{release.pk}", token=none).status_code == 403, "no environment is none, not all"
    assert ask("get", "/releases", token=none).status_code == 403


def test_an_account_without_a_role_reads_nothing(world: Any, call: Callable[..., Any]) -> None:
    from audit.clock import now
    from environments.models import AccessGrant
    from tests.releases.gates.asking import alter

    release = world.planned()
    deployment = world.verified_deployment(release, "development")
    for grant in AccessGrant.objects.filter(account=world.people["ci"]):
        alter(grant, revoked_at=now())
    for path in (
        "/releases",
        f"/releases/{release.pk}",
        "/deployments",
        f"/deployments/{deployment.pk}",
        f"/ci/deployments/{deployment.pk}",
        "/evidence",
        "/windows?application=datasets&environment=staging",
        "/releases/datasets/1.3.0/gates/staging",
    ):
        assert call("get", path).status_code == 403, path
    answer = call("get", "/permissions?permission=start&environment=staging")
    assert answer.json()["allowed"] is False and "no role" in answer.json()["reason"]


def test_releases_are_filtered_by_application_and_state(world: Any, call: Callable[..., Any]) -> None:
    world.planned()
    assert [row["version"] for row in call("get", "/releases?application=datasets&state=draft").json()["items"]] == [
        "1.3.0"
    ]
    assert call("get", "/releases?state=completed").json()["items"] == []
    assert call("get", "/releases?application=nothing").status_code == 404
    unknown = call("get", "/releases?state=sleeping")
    assert unknown.status_code == 422 and "draft" in unknown.json()["detail"]


def test_a_release_reaches_locked_scope_over_http(world: Any, managing: str) -> None:
    """The same verbs in the same order as on the pages, by an account that has the rights."""
    planned = ask("post", "/releases", {"application": "datasets", "version": "1.3.0", "title": "Tags"}, token=managing)
    assert planned.status_code == 200 and planned.json()["state"] == "draft"
    path = f"/releases/{planned.json()['id']}"
    fields = dict.fromkeys(Release.APPLICATION_FIELDS, "as written") | {"risk": "low"}
    for verb, body in (
        ("add_change_entry", {"kind": "feature", "text": "Datasets can be tagged"}),
        ("edit", fields),
        ("select_commit", {"branch": "release/1.3"}),
        *(("set_configuration", {"configuration_id": c.pk}) for c in world.configurations.values()),
        ("set_scheduled_start", {"start": _soon()}),
        ("lock_scope", {"reason": "all is in"}),
    ):
        done = ask("post", f"{path}/{verb}", body, token=managing)
        refused = verb == "add_change_entry" and done.status_code == 403
        assert done.status_code == 200 or refused, (verb, done.json())
        if refused:  # a release manager plans, and a developer writes the change entries
            with world.acting_as("developer"):
                from releases.operations.release.plan import add_change

                add_change(planned.json()["id"], **body)
    assert done.json()["state"] == "scope_locked" and done.json()["number"].startswith("FY")
    assert ask("post", f"{path}/edit", {"title": "late"}, token=managing).status_code == 409
    assert ask("post", f"{path}/edit", {}, token=managing).status_code == 422


def test_a_rolled_back_commit_needs_an_explicit_confirmation(world: Any, managing: str) -> None:
    from tests.releases.gates.asking import mark_deployed
    from tests.releases.operations.test_source import rolled_back

    rolled_back(world, mark_deployed(world, "1.3.0").release, "production")
    planned = ask("post", "/releases", {"application": "datasets", "version": "1.9.0", "title": "x"}, token=managing)
    path = f"/releases/{planned.json()['id']}"
    refused = ask("post", f"{path}/select_commit", {"branch": "release/1.3"}, token=managing)
    assert refused.status_code == 422
    assert (
        "rolled back from Production" in refused.json()["detail"] and "accept_rolled_back" in refused.json()["detail"]
    )
    body = {"branch": "release/1.3", "accept_rolled_back": True}
    moved = ask("post", f"{path}/select_commit", body | {"expected_commit": "0" * 40}, token=managing)
    assert moved.status_code == 422 and world.built.commits["v1.3.0"][:12] in moved.json()["detail"]
    unset = ask("post", f"{path}/select_commit", body | {"expected_commit": ""}, token=managing)
    assert unset.status_code == 422 and "expected_commit" in str(unset.json())
    assert ask("post", f"{path}/select_commit", body, token=managing).json()["commit"] == world.built.commits["v1.3.0"]


def test_a_used_version_is_refused_with_the_next_free_one(world: Any, managing: str) -> None:
    from tests.releases.gates.asking import mark_deployed
    from tests.releases.operations.test_source import rolled_back

    rolled_back(world, mark_deployed(world, "1.3.0").release, "production")
    body = {"application": "datasets", "version": "1.3.0", "title": "again"}
    refused = ask("post", "/releases", body, token=managing)
    assert refused.status_code == 422 and "1.3.1 is free" in refused.json()["detail"]


def test_a_release_lists_its_changes_since_the_last_deployment(world: Any, call: Callable[..., Any]) -> None:
    from tests.releases.gates.asking import mark_deployed

    mark_deployed(world, "1.2.0", environment="staging")
    shown = call("get", f"/releases/{world.planned().pk}").json()
    assert shown["source"]["subject"] == "Version 1.3.0" and shown["source"]["commit"] == shown["commit"]
    by_place = {row["environment"]: row["since"] for row in shown["environments"]}
    staging = by_place["staging"]
    assert (staging["version"], staging["known"], staging["behind"]) == ("1.2.0", True, 0)
    assert staging["ahead"] == len(staging["commits"]) and staging["commits"][0] == shown["source"]
    assert staging["configuration"] == [] and by_place["development"]["version"] is None


def _soon() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat()


def test_ci_may_neither_plan_nor_prepare(world: Any, call: Callable[..., Any]) -> None:
    from audit.models import Event

    release = world.planned()
    body = {"application": "datasets", "version": "9.0.0", "title": "x"}
    assert call("post", "/releases", body).status_code == 403
    must = {
        "reason": "r",
        "start": _soon(),
        "branch": "b",
        "kind": "fix",
        "text": "t",
        "configuration_id": 1,
        "version": "9.9.9",
        "title": "t",
    }
    for verb in VERBS:
        if verb.name == "refresh_from_git":  # whoever may upload evidence may refresh the release from Git
            assert call("post", f"/releases/{release.pk}/refresh_from_git", {}).status_code == 200
            continue
        fields = {name: must[name] for name in verb.body.model_fields if name in must}
        assert call("post", f"/releases/{release.pk}/{verb.name}", fields).status_code == 403, verb.name
    assert world.fresh(release).state == "draft"
    assert Event.objects.filter(operation="release:cancel", outcome="refused").exists()


def test_a_token_never_signs(world: Any, managing: str) -> None:
    from releases.operations.release.sign_final_check import sign

    release, _request = world.approved()
    refused = ask("post", f"/releases/{release.pk}/sign_final_check", {}, token=managing)
    assert refused.status_code == 403 and refused.json()["type"] == "about:blank#signature_required"
    assert world.fresh(release).state == "approved"
    with world.acting_as("manager"):
        sign(release.pk)


def test_a_token_for_one_environment_moves_no_release(world: Any, managing: str) -> None:
    release = world.planned()
    narrow = token_for(world, world.people["managing"], "development", "staging")
    refused = ask("post", f"/releases/{release.pk}/cancel", {"reason": "r"}, token=narrow)
    assert refused.status_code == 403 and "production" in refused.json()["detail"]
    assert ask("post", f"/releases/{release.pk}/cancel", {"reason": "r"}, token=managing).status_code == 200
