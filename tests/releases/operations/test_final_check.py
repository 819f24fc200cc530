"""The final check at T-1: two roles, two people, facts as measured."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import Actor, acting
from audit.refusals import GateNotPassed, NotPermitted, NotPossible, SignatureRequired
from environments.operations.access.grant import request_role
from releases.models import FinalCheck, Release
from releases.operations.application.create import create_application
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.release.pass_stage import pass_stage
from releases.operations.release.plan import plan
from releases.operations.release.sign_final_check import facts_now, open_roles, sign
from releases.procedures.document import Procedure as Content
from releases.procedures.load import default
from tests.conftest import enrolled
from tests.releases.gates.asking import COMMAND, alter, git, own_repository

from .test_own_roles import in_effect

SCHEDULER = Actor(account_id=None, name="scheduler", kind="scheduler", channel="scheduler")


def test_two_roles_sign_and_the_tag_is_recorded(world: Any) -> None:
    release, _request = world.approved()
    with world.acting_as("manager"):
        sign(release.pk)
    assert world.fresh(release).state == "approved", "one signature is not enough"
    with world.acting_as("operator"):
        sign(release.pk)
    release = world.fresh(release)
    assert release.state == "final_check_completed" and len(release.tag_object) == 40
    rows = list(FinalCheck.objects.filter(release=release))
    assert {(row.role, row.account.username) for row in rows} == {
        ("release_manager", "manager"),
        ("operator", "operator"),
    }
    assert rows[0].signature["meaning"] == "release:sign_final_check"
    assert rows[0].facts["rollback_rehearsed"] == "not_measured", "it was not measured and says so"
    assert rows[0].facts["digest_unchanged"] is True
    with world.acting_as("second_operator"), pytest.raises(NotPossible):
        sign(release.pk)


def test_one_person_never_signs_twice_and_any_holder_of_the_other_role_may(world: Any, people: dict[str, Any]) -> None:
    """A person who holds both roles and signs first blocks neither of the others, and takes the remaining place."""
    release, _request = world.approved()
    with acting(COMMAND):
        request_role(people["operator"].pk, role="release_manager", reason="both roles")
    with world.acting_as("operator"):
        sign(release.pk)
        with pytest.raises(NotPermitted, match="already signed"):
            sign(release.pk)
    assert open_roles(world.fresh(release)) == {"release_manager", "operator"}
    place = FinalCheck.objects.get(release=release).role
    with world.acting_as({"release_manager": "manager", "operator": "second_operator"}[place]):
        sign(release.pk)
    assert world.fresh(release).state == "final_check_completed"
    rows = {row.account.username: row.role for row in FinalCheck.objects.filter(release=release)}
    assert rows["operator"] != place and set(rows.values()) == {"release_manager", "operator"}


def test_one_role_never_signs_twice(world: Any) -> None:
    release, _request = world.approved()
    for name, refused in (("operator", False), ("second_operator", True)):
        refusal = (
            pytest.raises(NotPermitted, match="does not need a signature from your role") if refused else nullcontext()
        )
        with world.acting_as(name), refusal:
            sign(release.pk)
    assert world.fresh(release).state == "approved"


@pytest.mark.parametrize("name", ["committee_a", "developer", "tester", "auditor", "project_manager"])
def test_other_roles_may_not_sign(world: Any, name: str) -> None:
    release, _request = world.approved()
    with world.acting_as(name), pytest.raises(NotPermitted):
        sign(release.pk)
    with world.acting_as("manager", proved=False), pytest.raises(SignatureRequired):
        sign(release.pk)


def test_a_contradicted_fact_is_not_signed(world: Any) -> None:
    release, _request = world.approved()
    alter(release, on_timeout="keep")
    root = world.targets["production"].root
    shutil.rmtree(root)
    facts = facts_now(Release.objects.get(pk=release.pk))
    assert facts["digest_unchanged"] is False and facts["target_reachable"] is False
    assert facts["tag_unchanged"] is True and facts["release_team_complete"] is True
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="reachable"):
        sign(release.pk)
    assert not FinalCheck.objects.exists()


def test_the_final_check_starts_after_the_approval(world: Any) -> None:
    release, _request = world.submitted()
    with world.acting_as("manager"), pytest.raises(NotPossible):
        sign(release.pk)


def _lists_task(browsers: Any, name: str) -> bool:
    return any(row.what == "Sign final check" for row in browsers(name).get(reverse("admin:index")).context["tasks"])


def test_a_role_in_production_signs_on_every_page_and_one_in_staging_on_none(world: Any, browsers: Any) -> None:
    """The signature of an operator is about production; the same operator schedules the deployment there."""
    with acting(COMMAND):
        for name, slug in (("outsider", "production"), ("tester", "staging")):
            where = world.environments[slug].pk
            request_role(world.people[name].pk, role="operator", environment_id=where, reason="a part")
            enrolled(world.people[name])
    release, _request = world.approved()
    form, both = (
        reverse("operation", args=["release", "sign_final_check", release.pk]),
        reverse("sign-all", args=[release.pk]),
    )
    page, tick = reverse("release", args=[release.pk]), f"release-sign_final_check-{release.pk}"
    assert _lists_task(browsers, "outsider") and not _lists_task(browsers, "tester")
    for name, may in (("outsider", True), ("tester", False)):
        client = browsers(name)
        assert (f'href="{form}"' in client.get(page).content.decode()) == may
        assert (f'value="{tick}"' in client.get(both).content.decode()) == may
        assert client.get(form).status_code == (200 if may else 403)
    assert browsers("tester").post(form, {}).status_code == 403
    with world.acting_as("tester"), pytest.raises(NotPermitted):
        sign(release.pk)
    assert browsers("outsider").post(form, {"reason": ""}).status_code == 302
    assert FinalCheck.objects.get(release=release).role == "operator"
    assert (
        not _lists_task(browsers, "outsider")
        and not _lists_task(browsers, "operator")
        and _lists_task(browsers, "manager")
    )
    assert "already signed" in browsers("outsider").get(form).content.decode()
    assert "does not need a signature from your role" in browsers("operator").get(form).content.decode()
    with world.acting_as("manager"):
        sign(release.pk)
    with world.acting_as("outsider"):
        deployment = request(release.pk, environment_id=world.environments["production"].pk)
        assert schedule(deployment.pk).state == "scheduled"


def test_a_release_without_production_has_no_final_check(world: Any, browsers: Any) -> None:
    with world.acting_as("manager"):
        bare = create_application(slug="bare", name="Bare", repository=world.application.repository)
        release = plan(application_id=bare.pk, version="1.0.0", title="x")
    html = browsers("manager").get(reverse("release", args=[release.pk])).content.decode()
    assert 'data-verb="release:sign_final_check"' not in html and 'data-verb="release:lock_scope"' in html


def test_a_release_that_the_procedure_asks_no_final_check_of_passes_it(world: Any) -> None:
    raw = default().model_dump(mode="json")
    raw["version"] = raw["history"][-1]["version"] = "9.0.0"
    raw["final_check"]["when"] = {"risk": ["medium", "high"]}
    in_effect(world, Content.checked(raw), office="")
    release, _request = world.approved(risk="low")
    with world.acting_as("manager"), pytest.raises(NotPermitted, match="does not need a signature"):
        sign(release.pk)
    with acting(SCHEDULER):
        pass_stage(release.pk)
    assert world.fresh(release).state == "final_check_completed"


def test_a_release_with_the_risk_class_of_a_final_check_has_one(world: Any) -> None:
    raw = default().model_dump(mode="json")
    raw["version"] = raw["history"][-1]["version"] = "9.0.0"
    raw["final_check"]["when"] = {"risk": ["medium", "high"]}
    in_effect(world, Content.checked(raw), office="")
    release, _request = world.approved(risk="high")
    with acting(SCHEDULER), pytest.raises(NotPossible):
        pass_stage(release.pk)


def test_a_release_without_a_tag_completes_where_no_gate_asks_for_one(world: Any, tmp_path: Any) -> None:
    raw = default().model_dump(mode="json")
    raw["version"] = raw["history"][-1]["version"] = "9.0.0"
    raw["gates"] = [gate for gate in raw["gates"] if gate["type"] not in ("tag", "branch_protection")]
    raw["final_check"]["items"] = [item for item in raw["final_check"]["items"] if item["key"] != "tag_unchanged"]
    in_effect(world, Content.checked(raw | {"protected_branches": []}), office="")
    git(own_repository(world, tmp_path), "tag", "--delete", "v1.3.0")
    release, _request = world.approved()
    for name in ("manager", "operator"):
        with world.acting_as(name):
            sign(release.pk)
    release = world.fresh(release)
    assert (release.state, release.tag_object) == ("final_check_completed", "")
