"""Roles that a procedure names itself, on the permissions of a shipped role; and what being named in a rule gives."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.clock import now
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted
from environments import access
from environments.models import AccessRule, Role
from environments.models.role import role_names
from environments.operations.access.grant import confirm, request_role
from releases.gates import quorum
from releases.operations.approval import decide
from releases.operations.procedure import put_into_effect
from releases.operations.release.sign_final_check import sign
from releases.operations.window.request import request_window
from releases.procedures.document import Procedure as Content
from releases.procedures.load import default
from releases.queries.assignees import assignees
from releases.queries.notification_subject import Subject
from tests.releases.gates.asking import alter

RISK_OFFICE = {
    "key": "risk_office",
    "based_on": "tester",
    "account": "person",
    "ja": "リスク管理室",
    "en": "Risk office",
    "origin": "default",
}


def bank(**changes: Any) -> Content:
    """The default with a role of its own: the project manager approves first, then one of the risk office."""
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = "9.0.0", "9.0.0"
    raw["roles"].append(RISK_OFFICE)
    kept = [row for row in raw["approval_rules"] if (row["subject"], row["tier"]) != ("regular", "production")]
    stages = enumerate(("project_manager", "risk_office"), 1)
    added = [
        {"subject": "regular", "tier": "production", "stage": n, "role": role, "number": 1, "origin": "default"}
        for n, role in stages
    ]
    return Content.checked(raw | {"approval_rules": [*kept, *added]} | changes)


def in_effect(world: Any, content: Content, *, office: str = "tester") -> None:
    """Put a procedure into effect, approved by two of the committee; office: who is given its own role before."""
    with world.acting_as("manager"):
        draft = put_into_effect.load(content, reason="rules of our own")
    if office:
        given(world, office, "risk_office")
    with world.acting_as("manager"):
        approval_request = put_into_effect.submit(draft.pk, reason="rules of our own")
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(approval_request.pk, digest=approval_request.digest)


def given(world: Any, who: str, role: str) -> None:
    """Grant a deciding role by two administrators."""
    with world.acting_as("administrator"):
        grant = request_role(world.people[who].pk, role=role, reason="joined the office")
    with world.acting_as("second_administrator"):
        confirm(grant.pk)


def test_the_request_names_the_grants_that_begin_to_count(world: Any, browsers: Any) -> None:
    """Also those of a role that was retired: who held it before holds it again."""
    in_effect(world, bank())
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = "9.1.0", "9.1.0"
    in_effect(world, Content.checked(raw), office="")
    assert "risk_office" not in access.roles_of(world.people["tester"])
    again = bank().model_dump(mode="json")
    again["version"], again["history"][-1]["version"] = "9.2.0", "9.2.0"
    with world.acting_as("manager"):
        draft = put_into_effect.load(Content.checked(again), reason="as before")
        approval_request = put_into_effect.submit(draft.pk, reason="as before")
    assert approval_request.document["grants"] == [["risk_office", "tester", ""]]
    page = browsers("committee_a").get(reverse("approval-request", args=[approval_request.pk])).content.decode()
    assert "access grants that begin to count" in page and "Risk office" in page


def test_the_rules_of_a_procedure_name_its_own_roles_in_stages(world: Any, browsers: Any) -> None:
    in_effect(world, bank())
    release, approval_request = world.submitted()
    assert [rule["role"] for rule in approval_request.rules] == ["project_manager", "risk_office"]
    for name in ("tester", "committee_a", "operator", "auditor"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            decide.approve(approval_request.pk, digest=approval_request.digest)
    page = reverse("approval-request", args=[approval_request.pk])
    assert "operation/approval/approve" in browsers("project_manager").get(page).content.decode()
    assert "operation/approval/approve" not in browsers("committee_a").get(page).content.decode()
    with world.acting_as("project_manager"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    text = browsers("tester").get(page).content.decode()
    assert "operation/approval/approve" in text and "Risk office" in text
    with world.acting_as("tester"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(release).state == "approved"


def test_each_role_that_a_rule_names_may_send_back(world: Any) -> None:
    in_effect(world, bank())
    release, approval_request = world.submitted()
    with world.acting_as("project_manager"):
        decide.send_back(approval_request.pk, digest=approval_request.digest, comment="the risk is not described")
    assert world.fresh(release).state == "draft"


def test_a_role_of_its_own_has_the_permissions_of_the_shipped_one_and_its_own_level(world: Any) -> None:
    rows = [
        {"role": "risk_office", "environment": "staging", "level": "read_only", "ja": "x", "en": "x"}
        | {"origin": "default"}
    ]
    content = bank()
    in_effect(world, bank(access=[*(row.model_dump(mode="json") for row in content.access), *rows]))
    with world.acting_as("administrator"):
        grant = request_role(world.people["developer"].pk, role="risk_office", reason="joined the office")
    assert grant.confirmed_at is None, "a role that approves needs a second person"
    assert access.roles_of(world.people["tester"]) == {"tester", "risk_office"}
    role = Role.objects.get(key="risk_office")
    assert role.permissions >= {"read", "upload_evidence", "sign_checklist", "check_document", "approve"}
    cells = dict(AccessRule.objects.filter(role=role.key).values_list("environment__slug", "level"))
    assert cells == {"development": "none", "staging": "read_only", "production": "none"}


def test_a_role_in_one_environment_decides_nothing_for_all_of_them(world: Any, browsers: Any) -> None:
    """Even of a person whose other role would allow the decision everywhere."""
    content = bank()
    rules = [
        row.model_dump(mode="json") | ({"role": "risk_office", "number": 1} if row.subject == "procedure" else {})
        for row in content.approval_rules
    ]
    in_effect(world, bank(approval_rules=rules))
    with world.acting_as("administrator"):
        grant = request_role(
            world.people["committee_b"].pk,
            role="risk_office",
            environment_id=world.environments["staging"].pk,
            reason="helps out",
        )
    with world.acting_as("second_administrator"):
        confirm(grant.pk)
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = "9.2.0", "9.2.0"
    with world.acting_as("manager"):
        draft = put_into_effect.load(Content.checked(raw), reason="back to the committee")
        approval_request = put_into_effect.submit(draft.pk, reason="back to the committee")
    assert [person.username for person in quorum.candidates(approval_request)] == ["tester"]
    tasks = {name: browsers(name).get(reverse("admin:index")).content.decode() for name in ("tester", "committee_b")}
    assert {name: "Decide on approval request" in html for name, html in tasks.items()} == {
        "tester": True,
        "committee_b": False,
    }
    with world.acting_as("committee_b"), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    with world.acting_as("tester"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(draft).state == "in_effect"


def test_a_signer_of_the_final_check_is_whoever_the_procedure_names(world: Any) -> None:
    content = bank()
    final = content.final_check.model_dump(mode="json") | {"signers": ["project_manager", "tester"]}
    in_effect(world, bank(final_check=final))
    release, approval_request = world.submitted()
    for name in ("project_manager", "tester"):
        with world.acting_as(name):
            decide.approve(approval_request.pk, digest=approval_request.digest)
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        sign(release.pk)
    for name in ("project_manager", "tester"):
        with world.acting_as(name):
            sign(release.pk)
    assert world.fresh(release).state == "final_check_completed"


def test_a_role_that_begins_to_approve_counts_only_for_whom_a_second_person_has_confirmed(world: Any) -> None:
    with world.acting_as("administrator"):
        grant = request_role(world.people["committee_a"].pk, role="developer", reason="writes too")
    assert grant.confirmed_at is not None
    content = bank()
    rules = [
        row.model_dump(mode="json") | ({"role": "developer"} if row.role == "risk_office" else {})
        for row in content.approval_rules
    ]
    in_effect(world, bank(approval_rules=rules), office="")
    assert world.fresh(grant).confirmed_at is None
    assert "developer" not in access.roles_of(world.people["committee_a"])
    assert "developer" in access.roles_of(world.people["developer"]), "granted by a command, as before"
    with world.acting_as("second_administrator"):
        confirm(grant.pk)
    assert "developer" in access.roles_of(world.people["committee_a"])


def test_a_role_that_comes_back_to_decide_counts_only_for_whom_a_second_person_has_confirmed(world: Any) -> None:
    """It was in use without deciding, was retired, and a draft names it again."""
    committee = {"role": "committee"}
    rules = [
        row.model_dump(mode="json") | (committee if row.role == "risk_office" else {}) for row in bank().approval_rules
    ]
    in_effect(world, bank(approval_rules=rules), office="")
    with world.acting_as("administrator"):
        grant = request_role(world.people["committee_a"].pk, role="risk_office", reason="looks on")
    assert grant.confirmed_at is not None
    in_effect(world, of_version("9.1.0", default()), office="")
    in_effect(world, of_version("9.2.0", bank()))
    assert world.fresh(grant).confirmed_at is None
    assert "risk_office" not in access.roles_of(world.people["committee_a"])


def of_version(version: str, content: Content) -> Content:
    """The same content as another version."""
    raw = content.model_dump(mode="json")
    raw["version"] = raw["history"][-1]["version"] = version
    return Content.checked(raw)


def test_a_role_that_a_procedure_no_longer_names_gives_nothing(world: Any) -> None:
    in_effect(world, bank())
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = "9.1.0", "9.1.0"
    in_effect(world, Content.checked(raw), office="")
    assert access.roles_of(world.people["tester"]) == {"tester"}
    with world.acting_as("administrator"), pytest.raises(InvalidInput):
        request_role(world.people["developer"].pk, role="risk_office", reason="too late")
    assert role_names()["risk_office"] == "Risk office", "what was granted is still shown by its name"


def test_an_auditor_is_never_named(world: Any) -> None:
    with pytest.raises(ValueError, match="only audits"):
        bank(roles=[*default().model_dump(mode="json")["roles"], RISK_OFFICE | {"based_on": "auditor"}])


def test_the_pages_of_access_name_the_roles_of_the_procedure(world: Any, browsers: Any) -> None:
    in_effect(world, bank())
    for name, url in (("administrator", reverse("access")), ("auditor", reverse("access-report"))):
        assert "Risk office" in browsers(name).get(url).content.decode(), url
    form = reverse("operation", args=["access", "grant", world.people["developer"].pk])
    html = browsers("administrator").get(form).content.decode()
    assert 'value="risk_office"' in html and 'value="ci"' not in html


def test_an_approver_of_one_environment_finds_the_task(world: Any, browsers: Any) -> None:
    with world.acting_as("administrator"):
        grant = request_role(
            world.people["operator"].pk,
            role="committee",
            environment_id=world.environments["production"].pk,
            reason="production only",
        )
    with world.acting_as("second_administrator"):
        confirm(grant.pk)
    with world.acting_as("project_manager"):
        approval_request = request_window(
            world.environments["production"].pk,
            application_id=world.application.pk,
            name="second",
            starts_at=now() + timedelta(days=1),
            ends_at=now() + timedelta(days=1, hours=2),
            reason="for the test",
        )
    assert approval_request.environment == world.environments["production"]
    html = browsers("operator").get(reverse("admin:index")).content.decode()
    assert "Decide on approval request" in html


def test_a_late_approval_is_the_business_of_those_who_approve(world: Any, browsers: Any) -> None:
    """Neither of the committee, which this procedure does not ask, nor of those whose stage has not come."""
    in_effect(world, bank())
    release, approval_request = world.submitted()
    milestone = release.milestones.get(guards="mark_approved")
    alter(milestone, due_at=now() - timedelta(hours=1))

    def acting() -> set[str]:
        found = assignees("milestone:remind", Subject(world.fresh(milestone), release), {})
        return {one.username for one in found}

    assert acting() == {"project_manager"}
    tasks = {n: browsers(n).get(reverse("admin:index")).content.decode() for n in ("project_manager", "tester")}
    assert all(f"Overdue: {milestone}" in html for html in tasks.values()), "both are approvers of this procedure"
    with world.acting_as("project_manager"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert acting() == {"tester"}


def test_a_late_final_check_is_the_business_of_those_who_sign_it(world: Any) -> None:
    final = bank().final_check.model_dump(mode="json") | {"signers": ["project_manager", "tester"]}
    in_effect(world, bank(final_check=final))
    release, approval_request = world.submitted()
    for name in ("project_manager", "tester"):
        with world.acting_as(name):
            decide.approve(approval_request.pk, digest=approval_request.digest)
    milestone = release.milestones.get(guards="complete_final_check")
    found = assignees("milestone:remind", Subject(world.fresh(milestone), None), {})
    assert {one.username for one in found} == {"project_manager", "tester"}


def test_an_open_release_is_approved_by_those_whom_its_version_names(world: Any) -> None:
    """Also when the version in effect asks others; what is asked there is asked of nobody else."""
    in_effect(world, bank())
    release, approval_request = world.submitted()
    with world.acting_as("project_manager"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    committee = [row.model_dump(mode="json") for row in default().approval_rules]
    raw = bank(approval_rules=committee).model_dump(mode="json")
    raw["version"] = raw["history"][-1]["version"] = "9.1.0"
    in_effect(world, Content.checked(raw), office="")
    assert world.fresh(release).procedure.version == "9.0.0"
    with world.acting_as("tester"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(release).state == "approved"


def test_a_version_without_the_role_of_an_open_release_takes_the_release_over(world: Any) -> None:
    """Left under its version, it could not be approved any more."""
    in_effect(world, bank())
    release, _request = world.submitted()
    raw = default().model_dump(mode="json")
    raw["version"] = raw["history"][-1]["version"] = "9.1.0"
    with world.acting_as("manager"):
        draft = put_into_effect.load(Content.checked(raw), reason="without the office")
        with pytest.raises(InvalidInput, match=f"{release}.*Risk office"):
            put_into_effect.submit(draft.pk, reason="without the office")
        assert put_into_effect.submit(draft.pk, reason="without the office", moved=(release.pk,)).state == "in_review"


def test_a_release_whose_scope_was_locked_since_the_submission_keeps_its_roles(world: Any) -> None:
    """The last approval is refused: left under its version, the release could not be approved any more."""
    in_effect(world, bank())
    raw = default().model_dump(mode="json")
    raw["version"] = raw["history"][-1]["version"] = "9.1.0"
    with world.acting_as("manager"):
        draft = put_into_effect.load(Content.checked(raw), reason="without the office")
        approval_request = put_into_effect.submit(draft.pk, reason="without the office")
    release, _request = world.submitted()
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    with world.acting_as("committee_b"), pytest.raises(GateNotPassed, match=f"{release}.*Risk office"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert Role.objects.get(key="risk_office").state == "in_use"
