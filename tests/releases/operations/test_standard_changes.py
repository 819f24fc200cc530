"""Standard changes: approved beforehand by the procedure, within limits of application, risk class, number and end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.models import Event
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from environments.models import Application
from releases.gates import quorum
from releases.gates.evaluation import evaluate
from releases.gates.standard_change import counted
from releases.models import ApprovalRequest, Release
from releases.operations.approval import decide
from releases.operations.approval.submit import _open, submit
from releases.operations.procedure.put_into_effect import load, submit as put_draft
from releases.operations.release.plan import plan
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.load import default
from tests.releases.gates.asking import alter, make, walk

from .test_own_roles import in_effect

CHANGE = {"key": "text", "en": "New texts", "ja": "文言の更新", "risk": ["low"], "origin": "default"}
NOBODY = {"subject": "standard", "stage": 0, "role": "none", "number": 0, "origin": "default"}


def procedure(*changes: dict[str, Any], version: str = "9.0.0", **rule: Any) -> Content:
    """The default with standard changes, which nobody approves, or as many as `rule` says."""
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = version, version
    review = {"en": "Review", "within": 5, "unit": "working_days", "origin": "default"}
    raw["schedule"]["standard"] = {"changes": list(changes), "review": review, "origin": "default"}
    raw["approval_rules"].append(NOBODY | {"tier": "production"} | rule)
    return Content.checked(raw)


def ready(world: Any, content: Content, *, risk: str = "low", **options: Any) -> Release:
    """Put a procedure into effect; return a tested release that is one of its standard changes."""
    in_effect(world, content, office="")
    return prepared(world, risk=risk, **options)


def prepared(world: Any, *, risk: str = "low", **options: Any) -> Release:
    """Return a tested release of a standard change."""
    made: Release = world.tested(kind="standard", criterion="text", risk=risk, **options)
    return made


def submitted(world: Any, release: Release) -> ApprovalRequest:
    """Submit a release for approval."""
    with world.acting_as("manager"):
        return submit(release.pk)


def test_a_standard_change_is_approved_with_its_submission(world: Any, browsers: Callable[[str], Any]) -> None:
    release = ready(world, procedure(CHANGE | {"per_week": 2}))
    approval_request = submitted(world, release)
    assert (world.fresh(release).state, world.fresh(approval_request).state) == ("approved", "approved")
    assert approval_request.subject == "standard" and approval_request.document["standard_change"] == "text"
    event = Event.objects.filter(operation="release:submit", kind="operation").latest("id")
    assert b'"number_in_week":1' in bytes(event.bytes).replace(b" ", b"")
    assert quorum.uncounted(world.fresh(approval_request)) == ""
    page = browsers("committee_a").get(reverse("release", args=[release.pk])).content.decode()
    assert "New texts" in page
    assert "approves this standard change beforehand" in page


def test_the_types_that_the_procedure_has_are_offered(world: Any, browsers: Callable[[str], Any]) -> None:
    address = reverse("operation-new", args=["release", "plan"])
    assert 'value="standard"' not in browsers("manager").get(address).content.decode()
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="no standard changes"):
        plan(application_id=world.application.pk, version="1.3.0", title="Texts", kind="standard", criterion="text")
    in_effect(world, procedure(CHANGE), office="")
    assert 'value="standard"' in browsers("manager").get(address).content.decode()
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="text"):
        plan(application_id=world.application.pk, version="1.3.0", title="Texts", kind="standard", criterion="other")


@pytest.mark.parametrize(
    ("limits", "risk", "said"),
    [
        ({}, "high", "may only have the risk class Low"),
        ({"applications": ["other"]}, "low", "does not apply to"),
        ({"until": "2024-01-31"}, "low", "is approved until 2024-01-31"),
    ],
)
def test_a_release_beyond_the_limits_is_not_approved(world: Any, limits: dict[str, Any], risk: str, said: str) -> None:
    make(Application, slug="other", name="Other", repository="x", allowed_signers="")
    release = ready(world, procedure(CHANGE | limits), risk=risk)
    with pytest.raises(GateNotPassed, match=said):
        submitted(world, release)
    assert world.fresh(release).state == "testing_completed"


def test_a_week_has_room_for_as_many_as_the_procedure_says(world: Any) -> None:
    """From Monday to Sunday of the planned start, where production is; an approval that has ended does not count."""
    release = ready(world, procedure(CHANGE | {"per_week": 1}))
    start, place = release.scheduled_start_at, release.destinations[0]
    about = {"application": release.application, "author": release.author, "title": "Texts of the day before"}
    other = make(Release, version="1.2.9", kind="standard", criterion="text", **about)
    row = {"environment": place, "document": {}, "digest": "0" * 64, "rules": [], "requested_by": release.author}
    earlier = make(ApprovalRequest, subject="standard", release=other, valid_from=start + timedelta(seconds=1), **row)
    (change,) = procedure(CHANGE | {"per_week": 1}).standard_changes()
    assert [one.pk for one in counted(release, change, start, place.zone)] == [earlier.pk]
    assert not counted(other, change, start, place.zone), "its own does not count"
    for days in (-7, 7):
        assert not counted(release, change, start + timedelta(days=days), place.zone)
    with pytest.raises(GateNotPassed, match="is reached: 1 in the week of the start"):
        submitted(world, release)
    walk(earlier, "invalidate")
    assert submitted(world, release).state == "approved"


def test_a_version_that_has_ended_the_change_ends_the_approval(world: Any) -> None:
    release = ready(world, procedure(CHANGE))
    approval_request = submitted(world, release)
    assert quorum.uncounted(approval_request, release.scheduled_start_at) == ""
    in_effect(world, procedure(CHANGE | {"until": "2024-01-31"}, version="9.1.0"), office="")
    approval_request = world.fresh(approval_request)
    assert approval_request.state == "approved", "it was not moved to the new version"
    assert "is approved until 2024-01-31" in quorum.uncounted(approval_request, release.scheduled_start_at)
    (answer,) = [a for a in evaluate(release, release.destinations[0]) if a.kind == "approval"]
    assert not answer.passes and "2024-01-31" in answer.reason


def test_a_standard_change_may_still_ask_for_an_approver(world: Any) -> None:
    rule = {"stage": 1, "role": "project_manager", "number": 1}
    release = ready(world, procedure(CHANGE | {"per_week": 1}, **rule))
    approval_request = submitted(world, release)
    assert world.fresh(release).state == "in_review"
    with world.acting_as("manager"), pytest.raises(NotPossible, match="asks for approvers"):
        decide.approve_beforehand(approval_request.pk)
    with world.acting_as("project_manager"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(release).state == "approved"


def test_a_changed_release_is_not_approved_beforehand(world: Any) -> None:
    release = ready(world, procedure(CHANGE))
    with world.acting_as("manager"):
        approval_request = _open(release.pk, "")
        alter(release, title="Something else")
        with pytest.raises(GateNotPassed, match="no longer valid"):
            decide.approve_beforehand(approval_request.pk)
    assert (world.fresh(release).state, world.fresh(approval_request).state) == ("in_review", "in_review")


def test_only_a_standard_change_needs_no_approver() -> None:
    raw = procedure(CHANGE).model_dump(mode="json")
    index, rule = next(
        (n, r) for n, r in enumerate(raw["approval_rules"]) if (r["subject"], r["tier"]) == ("regular", "production")
    )
    rule.update(stage=0, role="none", number=0)
    with pytest.raises(ProcedureFaults) as caught:
        Content.checked(raw)
    assert [fault.place for fault in caught.value.faults] == [f"approval_rules[{index}].role"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda raw: raw["approval_rules"].pop(), "approval_rules"),
        (lambda raw: raw["schedule"]["standard"].update(changes=[]), "schedule.standard.changes"),
    ],
)
def test_a_half_written_standard_change_is_refused(change: Callable[[Any], Any], place: str) -> None:
    raw = procedure(CHANGE).model_dump(mode="json")
    change(raw)
    with pytest.raises(ProcedureFaults) as caught:
        Content.checked(raw)
    assert place in {fault.place.split("[")[0] for fault in caught.value.faults}


def test_a_standard_change_of_an_unknown_application_is_not_submitted(world: Any) -> None:
    with world.acting_as("manager"):
        draft = load(procedure(CHANGE | {"applications": ["datasets", "dataset-typo"]}), reason="texts")
        with pytest.raises(InvalidInput, match="do not exist: dataset-typo"):
            put_draft(draft.pk, reason="texts")
