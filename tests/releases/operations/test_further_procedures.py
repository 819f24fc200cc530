"""Several procedures in effect: the one of the organisation, and further ones for the applications that they name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import Actor, acting
from audit.clock import now
from audit.refusals import GateNotPassed, InvalidInput
from environments.models import Application, ChangeWindow, Environment, Role
from releases.gates.base import procedure_of
from releases.gates.staffing import shortfalls
from releases.gates.window import opening
from releases.models import Deployment, Milestone, Procedure
from releases.operations.application.create import create_application
from releases.operations.approval import decide
from releases.operations.deployment_process.create import create as create_process
from releases.operations.deployment_process.put_into_effect import submit as submit_process
from releases.operations.milestone.remind import remind_due
from releases.operations.procedure import put_into_effect, revise
from releases.operations.release.plan import plan
from releases.operations.release.prepare import lock_scope
from releases.procedures import shared
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.load import default
from releases.procedures.process import Process
from releases.procedures.save import as_text, further_from
from releases.queries.procedure_types import procedure_types
from releases.reporting.audit_tests.outside_change_window import Openings
from tests.releases.gates.asking import alter, make

from .test_own_roles import in_effect


def organisation() -> Content:
    """The organisation's procedure in effect."""
    return Procedure.objects.get(state="in_effect", key="").document


def further(*applications: str, version: str = "1.0.0", key: str = "tools", **changes: Any) -> Content:
    """A further procedure: every night, approved by one of the committee."""
    raw = organisation().model_dump(mode="json") | {"key": key, "applications": applications, "version": version}
    raw["history"] = [{**raw["history"][-1], "version": version}]
    raw["schedule"]["regular"]["rrule"] = "FREQ=DAILY"
    for row in raw["approval_rules"]:
        if (row["subject"], row["tier"]) == ("regular", "production"):
            row["number"] = 1
    return Content.checked(raw | changes)


def revised(version: str = "9.0.0", **changes: Any) -> Content:
    """The next version of the organisation's procedure."""
    raw = organisation().model_dump(mode="json") | {"version": version}
    raw["history"] = [*raw["history"], {**raw["history"][-1], "version": version}]
    return Content.checked(raw | changes)


@pytest.fixture
def portal(world: Any) -> Any:
    """A second application."""
    source = world.application
    with world.acting_as("manager"):
        return create_application(
            slug="portal", name="Portal", repository=source.repository, signers=source.allowed_signers
        )


def test_an_application_follows_the_procedure_that_names_it(world: Any, portal: Any) -> None:
    in_effect(world, further("datasets"), office="")
    there = {(row.key, row.version): row.state for row in Procedure.objects.filter(state="in_effect")}
    assert set(there) == {("", organisation().version), ("tools", "1.0.0")}, "the organisation's stays in effect"
    release, approval_request = world.submitted()
    assert str(release.procedure) == "tools 1.0.0"
    assert [(row["role"], row["number"]) for row in approval_request.rules] == [("committee", 1)]
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(release).state == "approved"
    portal.refresh_from_db()
    assert Procedure.objects.of(portal).document == organisation()


def test_windows_are_those_of_the_followed_procedure(world: Any, portal: Any) -> None:
    in_effect(world, further("datasets"), office="")
    production = Environment.objects.get(slug="production")
    # Noon of the first of a month to come: after all that begins today, and weeks before the third Wednesday.
    at = (datetime.now(UTC) + timedelta(days=40)).replace(day=1, hour=12, minute=0, second=0, microsecond=0)
    nightly = opening(Application.objects.get(slug="datasets"), production, at).next_start
    regular = opening(Application.objects.get(slug="portal"), production, at).next_start
    assert nightly is not None and nightly - at < timedelta(days=1)
    assert regular is not None and regular - at > timedelta(days=7)
    in_effect(world, revised(), office="")
    assert opening(Application.objects.get(slug="datasets"), production, at).next_start == nightly
    # A window that a person set for the whole environment opens for everybody.
    alter(ChangeWindow.objects.get(procedure="tools", environment=production), from_procedure=False)
    assert opening(Application.objects.get(slug="portal"), production, at).next_start == nightly


def test_the_audit_test_knows_the_windows_of_each_procedure(world: Any, portal: Any) -> None:
    in_effect(world, further("datasets"), office="")
    release = world.planned()
    deployment = Deployment(
        release=release,
        application=release.application,
        environment=Environment.objects.get(slug="production"),
        procedure=Procedure.objects.of(release.application),
    )
    moment = datetime.now(UTC)
    known = Openings(moment)
    assert {row.procedure for row in known.windows_at(deployment, moment) if row.from_procedure} == {"tools"}
    deployment.procedure = Procedure.objects.get(state="in_effect", key="")
    assert {row.procedure for row in known.windows_at(deployment, moment) if row.from_procedure} == {""}


def test_each_version_of_a_further_procedure_is_approved_by_the_rules_of_the_organisation(world: Any) -> None:
    """One that could change itself by rules of its own would be a way round those of all others."""
    lax = further("datasets").model_dump(mode="json")
    for row in lax["approval_rules"]:
        if row["subject"] == "procedure":
            row["number"] = 1
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="Leave them out: approval_rules"):
        put_into_effect.load(Content.checked(lax), reason="one is enough")
    in_effect(world, further("datasets"), office="")
    with world.acting_as("manager"):
        draft = put_into_effect.load(further("datasets", version="1.1.0"), reason="x")
        asked = put_into_effect.submit(draft.pk, reason="x")
    assert asked.rules == organisation().rules_for("procedure")
    with world.acting_as("committee_a"):
        decide.approve(asked.pk, digest=asked.digest)
    assert world.fresh(draft).state == "in_review", "one is not enough"


def test_the_first_version_shows_what_differs_from_the_organisations(world: Any, browsers: Any) -> None:
    with world.acting_as("manager"):
        draft = put_into_effect.load(further("datasets"), reason="x")
        asked = put_into_effect.submit(draft.pk, reason="x")
    assert asked.document["applications"] == ["datasets"]
    page = browsers("committee_a").get(reverse("approval-request", args=[asked.pk])).content.decode()
    assert "difference from version" in page and "FREQ=DAILY" in page


def test_what_all_share_is_written_once(world: Any) -> None:
    content = organisation()
    text = as_text(further_from(content))
    assert "[[roles]]" not in text and 'subject = "procedure"' not in text
    read = Content.from_toml(text, content, **procedure_types())
    assert shared.differing(read.model_dump(mode="json"), content.model_dump(mode="json")) == []
    assert read.gates == content.gates
    with pytest.raises(ProcedureFaults, match="together with the one of the organisation"):
        Content.from_toml(text)
    raw = further("datasets").model_dump(mode="json")
    raw["roles"][0]["en"] = "Captain"
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="Leave them out: roles"):
        put_into_effect.load(Content.checked(raw), reason="x")


def test_only_a_further_procedure_names_applications() -> None:
    raw = default().model_dump(mode="json") | {"applications": ["datasets"]}
    with pytest.raises(ProcedureFaults, match="needs a key"):
        Content.checked(raw)


def test_an_application_exists_and_follows_one_procedure(world: Any) -> None:
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="do not exist: nothing"):
        put_into_effect.load(further("nothing"), reason="x")
    with world.acting_as("manager"):
        draft = put_into_effect.load(further("datasets", key="other"), reason="x")
    in_effect(world, further("datasets"), office="")
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="another further procedure"):
        put_into_effect.submit(draft.pk, reason="x")


def test_two_requests_for_one_application_do_not_both_take_effect(world: Any) -> None:
    """The second was submitted before the first took effect."""
    with world.acting_as("manager"):
        drafts = [put_into_effect.load(further("datasets", key=key), reason="x") for key in ("one", "two")]
        requests = [put_into_effect.submit(draft.pk, reason="x") for draft in drafts]
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(requests[0].pk, digest=requests[0].digest)
    with world.acting_as("committee_a"):
        decide.approve(requests[1].pk, digest=requests[1].digest)
    with world.acting_as("committee_b"), pytest.raises(InvalidInput, match="cannot follow this procedure: datasets"):
        decide.approve(requests[1].pk, digest=requests[1].digest)
    assert Application.objects.get(slug="datasets").procedure == "one"


def test_a_new_procedure_of_the_organisation_ends_the_requests_made_under_its_rules(world: Any) -> None:
    with world.acting_as("manager"):
        draft = put_into_effect.load(further("datasets"), reason="x")
        asked = put_into_effect.submit(draft.pk, reason="x")
    in_effect(world, revised(), office="")
    assert world.fresh(asked).state == "invalidated" and world.fresh(draft).state == "draft"


def test_an_application_that_is_named_no_more_follows_the_organisation_again(world: Any, portal: Any) -> None:
    in_effect(world, further("datasets", "portal"), office="")
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    in_effect(world, further("portal", version="1.1.0"), office="")
    assert Application.objects.get(slug="datasets").procedure == ""
    assert str(world.fresh(release).procedure) == "tools 1.0.0", "its scope was locked under it"
    assert procedure_of(world.planned("1.4.0")) == organisation()


def test_what_a_further_procedure_names_is_not_taken_away(world: Any) -> None:
    changes = further("datasets").model_dump(mode="json")
    rule = next(r for r in changes["approval_rules"] if (r["subject"], r["tier"]) == ("regular", "production"))
    rule["role"], rule["number"] = "tester", 1
    in_effect(world, Content.checked(changes), office="")
    role = Role.objects.get(key="tester")
    assert role.decides and "approve" in role.named_permissions
    in_effect(world, revised(), office="")
    assert "approve" in Role.objects.get(key="tester").named_permissions, "by the further procedure"
    raw = revised("9.1.0").model_dump(mode="json")
    raw["roles"] = [row for row in raw["roles"] if row["key"] != "tester"]
    raw["access"] = [row for row in raw["access"] if row["role"] != "tester"]
    without = Content.checked(_without_role(raw, "tester"))
    with world.acting_as("manager"):
        draft = put_into_effect.load(without, reason="x")
        with pytest.raises(InvalidInput, match="tools 1.0.0: approval_rules"):
            put_into_effect.submit(draft.pk, reason="x")


def _without_role(raw: Any, role: str) -> Any:
    """Leave out every row that names a role."""
    if isinstance(raw, dict):
        return {key: _without_role(value, role) for key, value in raw.items()}
    if not isinstance(raw, list):
        return raw
    kept = [row for row in raw if row != role and not (isinstance(row, dict) and row.get("role") == role)]
    return [_without_role(row, role) for row in kept]


def test_a_further_procedure_that_its_people_cannot_meet_is_not_submitted(world: Any, portal: Any) -> None:
    raw = further("portal").model_dump(mode="json")
    for row in raw["approval_rules"]:
        if (row["subject"], row["tier"]) == ("regular", "production"):
            row["number"] = 7
    content = Content.checked(raw)
    assert {one.application for one in shortfalls(content)} == {"portal"}
    with world.acting_as("manager"):
        draft = put_into_effect.load(content, reason="x")
        with pytest.raises(GateNotPassed, match="available people cannot meet"):
            put_into_effect.submit(draft.pk, reason="x")


def test_a_process_in_effect_goes_with_the_procedure_that_its_application_comes_to(world: Any) -> None:
    raw = {"format": 1, "metrics": [row.model_dump(mode="json") for row in organisation().metrics]}
    with world.acting_as("manager"):
        process = create_process(
            application_id=world.application.pk,
            content=Process.checked(raw, organisation(), **procedure_types()),
            reason="x",
        )
        asked = submit_process(process.pk, reason="x")
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(asked.pk, digest=asked.digest)
    changes = further("datasets").model_dump(mode="json")
    changes["metrics"].append({**changes["metrics"][0], "key": "queue_length"})
    trigger = next(row for row in changes["triggers"] if row["metric"] == changes["metrics"][0]["key"])
    changes["triggers"].append({**trigger, "key": "queue", "metric": "queue_length"})
    with world.acting_as("manager"):
        draft = put_into_effect.load(Content.checked(changes), reason="x")
        with pytest.raises(InvalidInput, match="queue_length"):
            put_into_effect.submit(draft.pk, reason="x")


def test_values_are_revised_and_keep_what_all_share(world: Any) -> None:
    in_effect(world, further("datasets"), office="")
    in_effect(world, revised(), office="")
    active = Procedure.objects.get(state="in_effect", key="tools")
    threshold = next(cell for cell in revise.cells(active.content, ["thresholds"]) if isinstance(cell.value, int))
    with world.acting_as("manager"):
        draft = revise.revise(active.pk, reason="more", values={threshold.name: threshold.value + 1})
    assert (draft.key, draft.state) == ("tools", "draft") and draft.document.applications == ("datasets",)
    assert draft.document.roles == organisation().roles
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="those of the procedure of the organisation"):
        revise.revise(draft.pk, reason="x", edit=lambda raw: raw["roles"][0].update({"en": "Captain"}))


def test_pages_name_the_followed_procedure_and_begin_another(world: Any, browsers: Any) -> None:
    in_effect(world, further("datasets"), office="")
    manager = browsers("manager")
    page = manager.get(reverse("admin:environments_application_change", args=[world.application.pk])).content.decode()
    assert "tools 1.0.0" in page
    active = Procedure.objects.get(state="in_effect", key="")
    shown = manager.get(reverse("admin:releases_procedure_change", args=[active.pk])).content.decode()
    assert "Create a further procedure" in shown
    link = reverse("operation-new", args=["procedure", "load"]) + f"?version={active.pk}&further"
    form = manager.get(link).content.decode()
    assert "key = &quot;further&quot;" in form and "[[roles]]" not in form
    listed = manager.get(reverse("admin:releases_procedure_changelist")).content.decode()
    assert "datasets" in listed and "without a procedure of their own" in listed


def test_drafts_are_reminded_by_the_procedure_that_their_application_follows(world: Any, portal: Any) -> None:
    early = further("datasets").model_dump(mode="json")
    early["reminders"]["hours_before"] = [300]
    in_effect(world, Content.checked(early), office="")
    with world.acting_as("author_on_committee"):
        other = plan(application_id=portal.pk, version="1.3.0", title="Portal 1.3.0")
    drafts = [world.planned(), other]
    for row in drafts[0].milestones.all():
        alter(row, due_at=now() + timedelta(hours=2000))
    for release in drafts:
        due = now() + timedelta(hours=200)
        make(Milestone, release=release, key="scope", guards="lock_scope", label_ja="x", label_en="x", due_at=due)
    with acting(Actor(account_id=None, name="tests", kind="scheduler", channel="scheduler")):
        reminded = remind_due()
    assert reminded == [drafts[0].milestones.get(key="scope").pk], "the other is reminded of it some days before"
