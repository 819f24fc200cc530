"""People's preparation: documents by three, a team of two, follow-up actions, and a procedure that governs itself."""

from __future__ import annotations

from typing import Any

import pytest

from audit.clock import now
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments.models import AccessRule, Environment
from releases.models import FollowUp, Procedure, RecipientGroup, TeamMember
from releases.operations.approval.decide import approve as approve
from releases.operations.document import review
from releases.operations.follow_up.complete import complete
from releases.operations.procedure.put_into_effect import load, put_first_into_effect, submit as apply_for
from releases.operations.release.prepare import lock_scope
from releases.operations.team.assign import assign
from tests.releases.gates.asking import COMMAND, make, shown


def test_a_document_needs_three_people(world: Any) -> None:
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    document = release.documents.get(kind="changelog")
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput):
            review.write(document.pk, body=" ")
        review.write(document.pk, body="written by the manager")
        with pytest.raises(NotPermitted, match="A different person from the one before"):
            review.check_content(document.pk, digest=shown(document))
    with world.acting_as("project_manager"):
        review.check_content(document.pk, digest=shown(document))
        with pytest.raises(NotPermitted, match="A different person from the one before"):
            review.approve(document.pk, digest=shown(document))
    with world.acting_as("manager"), pytest.raises(NotPermitted, match="A different person from the one before"):
        review.approve(document.pk, digest=shown(document))
    assert world.fresh(document).state == "content_checked"
    with world.acting_as("developer"):
        with pytest.raises(NotPermitted):
            review.approve(document.pk, digest=shown(document))
        review.write(document.pk, body="edited: it begins anew")
    assert world.fresh(document).state == "draft"
    assert not document.signatures.exclude(signed_at=None).exists()


def test_implementer_and_verifier_are_two_people_with_telephones(world: Any) -> None:
    release = world.planned()

    def put(role: str, name: str, telephone: str = "+81-3-0000-0000") -> TeamMember:
        return assign(release.pk, team_role=role, account_id=world.people[name].pk, telephone=telephone)

    with world.acting_as("manager"):
        put("implementer", "operator")
        with pytest.raises(InvalidInput, match="The implementer and the verifier must be two different people"):
            put("verifier", "operator")
        with pytest.raises(InvalidInput, match="telephone"):
            put("verifier", "second_operator", " ")
        with pytest.raises(InvalidInput, match="service account"):
            put("verifier", "ci")
        put("verifier", "second_operator")
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        put("implementer", "operator")
    assert TeamMember.objects.filter(release=release).count() == 2


def test_a_follow_up_is_completed_once_with_a_comment_and_a_signature(world: Any) -> None:
    debt = make(
        FollowUp,
        application=world.application,
        release=world.planned(),
        key="full_review",
        label_ja="review",
        label_en="review",
        due_at=now(),
    )
    with world.acting_as("manager", proved=False), pytest.raises(SignatureRequired):
        complete(debt.pk, note="done")
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        complete(debt.pk, note="done")
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput):
            complete(debt.pk, note=" ")
        complete(debt.pk, note="reviewed on Friday")
        with pytest.raises(NotPossible):
            complete(debt.pk, note="again")


def another(version: str = "1.0.2") -> Any:
    """The procedure in effect as another version: CI may no longer deploy anything to staging."""
    content = Procedure.objects.get(state="in_effect").content
    access = [row for row in content["access"] if (row["role"], row["environment"]) != ("ci", "staging")]
    return type(Procedure.objects.get(state="in_effect").document).model_validate(
        content | {"version": version, "access": access}
    )


def test_a_new_procedure_needs_the_approval_that_the_old_one_asks_for(world: Any) -> None:
    """Case 3: a new version does not bring its own approval policy."""
    with world.acting_as("author_on_committee"):
        draft = load(another(), reason="CI left staging")
        approval_request = apply_for(draft.pk, reason="CI left staging")
        with pytest.raises(NotPermitted, match="submitted it for approval"):
            approve(approval_request.pk, digest=approval_request.digest)
    staging = Environment.objects.get(slug="staging")
    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    assert Procedure.objects.get(state="in_effect").version == "1.0.1"
    with world.acting_as("committee_b"):
        approve(approval_request.pk, digest=approval_request.digest)
    assert Procedure.objects.get(state="in_effect").version == "1.0.2"
    assert Procedure.objects.get(version="1.0.1").state == "retired"
    assert AccessRule.objects.get(role="ci", environment=staging).level == "none"


def test_a_new_version_changes_existing_environments_and_groups(world: Any) -> None:
    """One environment is new between two, another has a new name and order."""
    raw = another().model_dump(mode="json")
    development, staging, production = raw["environments"]
    rehearsal = {**staging, "key": "rehearsal", "name_ja": "予行", "name_en": "Rehearsal"}
    named = [development, staging, rehearsal, production]
    raw["environments"] = [{**row, "order": number} for number, row in enumerate(named, 1)]
    raw["environments"][1] |= {"zone": "Europe/Berlin", "name_en": "Acceptance"}
    raw["recipient_groups"][0]["side"] = "external"
    agreed(world, raw)
    rows = list(Environment.objects.order_by("order").values_list("slug", "name_en", "zone"))
    assert [slug for slug, *_rest in rows] == ["development", "staging", "rehearsal", "production"]
    assert rows[1][1:] == ("Acceptance", "Europe/Berlin")
    assert RecipientGroup.objects.get(key=raw["recipient_groups"][0]["key"]).side == "external"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows[1].update(key="other"), "“Staging” is missing"),
        (lambda rows: rows[1].update(protected=True), "tier and the protection of the environment “Staging” cannot be"),
        (lambda rows: rows[1].update(order=9), "order of the existing environments cannot be changed"),
    ],
)
def test_an_environment_in_use_is_not_removed(world: Any, change: Any, why: str) -> None:
    raw = another().model_dump(mode="json")
    change(raw["environments"])
    with world.acting_as("manager"):
        draft = load(type(another()).model_validate(raw), reason="x")
        with pytest.raises(InvalidInput, match=why):
            apply_for(draft.pk, reason="x")


def agreed(world: Any, raw: dict[str, Any]) -> None:
    """Load a procedure and let the committee put it into effect."""
    with world.acting_as("manager"):
        approval_request = apply_for(load(type(another()).model_validate(raw), reason="x").pk, reason="x")
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            approve(approval_request.pk, digest=approval_request.digest)


def test_only_the_first_procedure_takes_effect_without_approval(world: Any) -> None:
    from audit.actor import acting

    with acting(COMMAND):
        with pytest.raises(InvalidInput, match="those who wrote the change"):
            load(another(), reason="by the command")
        draft = load(another(), reason="by the command", writers=[world.people["committee_a"].pk])
        with pytest.raises(GateNotPassed, match="Only the first release procedure of an empty system"):
            put_first_into_effect(draft.pk)
    assert world.fresh(draft).state == "draft"
    for name in ("committee_a", "developer", "auditor"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            load(another("1.0.3"), reason="x")
    with world.acting_as("manager"):
        applied = apply_for(draft.pk, reason="x")
    with world.acting_as("committee_a"), pytest.raises(NotPermitted, match="the author of"):
        approve(applied.pk, digest=applied.digest)


def test_a_version_of_the_procedure_never_changes_its_content(world: Any) -> None:
    with world.acting_as("manager"):
        first = load(another(), reason="x")
        assert load(another(), reason="again").pk == first.pk
        changed = another().model_copy(update={"version": "1.0.1"})
        with pytest.raises(InvalidInput, match=r"1\.0\.1 already exists with different content"):
            load(changed, reason="sneaked in")


def test_a_release_keeps_the_procedure_of_its_scope_lock(world: Any) -> None:
    release, approval_request = world.submitted()
    with world.acting_as("manager"):
        draft = load(another(), reason="x")
        applied = apply_for(draft.pk, reason="x")
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            approve(applied.pk, digest=applied.digest)
    assert world.fresh(release).procedure.version == "1.0.1"
    assert approval_request.document["procedure"]["version"] == "1.0.1"
