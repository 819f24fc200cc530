"""A decision is about the content that its page showed: nothing is exchanged between the reading and the signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from django.utils import translation

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.refusals import GateNotPassed, NotPermitted, NotPossible
from environments.operations.account.deactivate import deactivate
from releases.jobs import prepare_rollback
from releases.models import ChecklistItem, DeployedVersion, Document, Rollback
from releases.operations.checklist.sign import sign
from releases.operations.document import review
from releases.operations.release.plan import edit
from releases.operations.release.prepare import lock_scope, reopen_scope
from releases.operations.rollback import decide
from releases.operations.rollback.complete_manually import complete_manually
from releases.operations.rollback.confirm_late import confirm_late
from releases.operations.rollback.escalate import escalate
from releases.operations.rollback.start import retry, start_rollback as begin
from tests.bypasses.test_access_bypasses import newcomer
from tests.releases.gates.asking import COMMAND, alter, communicated, make, shown, walk


@pytest.fixture(autouse=True)
def english() -> Any:
    with translation.override("en"):
        yield


def alarm_of(world: Any, *edges: str, cause: str = "data_inconsistent") -> Rollback:
    """Return an assessed alarm about the deployed version in production, its monitoring started and then moved by
    `edges`.
    """
    deployment = alter(
        walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring", *edges), started_at=now()
    )
    where = {"application": world.application, "environment": world.environments["production"]}
    make(DeployedVersion, **where, release=deployment.release, since=now(), basis="verified")
    with world.acting_as("operator"):
        alarm = decide.raise_(deployment.pk, cause=cause, note="two totals differ")
    return assess(world, alarm, "two users")


def assess(world: Any, alarm: Rollback, impact: str) -> Rollback:
    with world.acting_as("manager"):
        decide.assess(alarm.pk, impact=impact, method="small", timing="tonight")
    communicated(alarm)
    return Rollback.objects.get(pk=alarm.pk)


def count(alarm: Rollback, rows: int) -> None:
    with acting(COMMAND):
        decide.pre_authorise(alarm.pk, rows={"orders": rows})


def say_yes(world: Any, alarm: Rollback) -> None:
    with world.acting_as("committee_a"):
        confirm_late(alarm.pk, digest=shown(alarm))


def authorise(world: Any, alarm: Rollback, digest: str = "") -> None:
    with world.acting_as("second_operator"):
        decide.authorise(alarm.pk, digest=digest or shown(alarm))


def last(action: str) -> dict[str, Any]:
    """Return the contents of the newest event of an operation."""
    return Event.objects.filter(operation=action, kind="operation").latest("at").contents["after"]


def test_a_late_rollback_is_not_approved_before_the_rows_are_counted(world: Any) -> None:
    alarm = alarm_of(world, "succeed")
    with pytest.raises(GateNotPassed, match="Ringi is still counting the rows written since the backup"):
        say_yes(world, alarm)


@pytest.mark.parametrize("what", ["assessment", "rows"])
def test_an_approval_ends_with_what_it_was_given_to(world: Any, what: str) -> None:
    alarm = alarm_of(world, "succeed")
    count(alarm, 1)
    before = shown(alarm)
    say_yes(world, alarm)
    assert last("rollback:confirm_late")["signature"]["digest"] == before
    if what == "assessment":
        assess(world, alarm, "ALL users")
    else:
        count(alarm, 5_000_000)
    operation_name = {"assessment": "rollback:assess", "rows": "rollback:apply_pre_authorisation"}[what]
    assert "These people must approve it again: Committee A" in last(operation_name)["agreed_again"]
    assert world.fresh(alarm).facts["agreed"] == []
    with pytest.raises(GateNotPassed, match="Approval is still needed from: Release committee"):
        authorise(world, alarm)
    with (
        world.acting_as("committee_a"),
        pytest.raises(GateNotPassed, match="row counts shown to you differ from the current ones. Read them again"),
    ):
        confirm_late(alarm.pk, digest=before)
    say_yes(world, alarm)
    with pytest.raises(GateNotPassed, match="row counts shown to you differ from the current ones. Read them again"):
        authorise(world, alarm, before)
    authorise(world, alarm)
    assert last("rollback:authorise")["signature"]["digest"] == shown(alarm)


def test_the_same_count_again_revokes_nothing(world: Any) -> None:
    alarm = alarm_of(world, "succeed")
    count(alarm, 1)
    say_yes(world, alarm)
    count(alarm, 1)
    authorise(world, alarm)


def test_an_approval_ends_when_the_alarm_becomes_another(world: Any) -> None:
    alarm = alarm_of(world, "succeed", cause="performance_drop")
    count(alarm, 1)
    say_yes(world, alarm)
    with acting(COMMAND):
        escalate(alarm.pk, cause="error_rate", note="3 of 5", facts={})
    assert "These people must approve it again" in last("rollback:escalate")["agreed_again"]
    count(alarm, 1)
    with pytest.raises(GateNotPassed, match="Approval is still needed from"):
        authorise(world, alarm)


def test_what_was_authorised_is_not_assessed_otherwise_before_it_begins(world: Any) -> None:
    alarm = alarm_of(world)
    count(alarm, 1)
    authorise(world, alarm)
    with pytest.raises(NotPossible):
        assess(world, alarm, "ALL users")


def test_a_rollback_that_has_become_late_since_waits_for_the_committee(world: Any) -> None:
    alarm = alarm_of(world)
    count(alarm, 1)
    authorise(world, alarm)
    walk(alarm.deployment, "succeed")
    before = Event.objects.count()
    prepare_rollback(alarm.pk)
    assert Event.objects.count() == before, "it waits without an event each time"
    with acting(COMMAND), pytest.raises(GateNotPassed, match="Approval is still needed from: Release committee"):
        begin(alarm.pk)
    say_yes(world, alarm)
    with acting(COMMAND):
        begin(alarm.pk)
    assert world.fresh(alarm).state == "running"


def test_a_pre_authorised_rollback_does_not_begin_late(world: Any) -> None:
    alarm = walk(alarm_of(world, "succeed"), "apply_pre_authorisation")
    with acting(COMMAND), pytest.raises(GateNotPassed, match="Dismiss this rollback and raise a new one"):
        begin(alarm.pk)


def completed_by_hand(world: Any) -> Any:
    """Return a failed rollback of which one person has said that it was completed by hand."""
    alarm = alarm_of(world)
    count(alarm, 1)
    authorise(world, alarm)
    with acting(COMMAND):
        step = begin(alarm.pk)
    from releases.models import Step

    walk(Step.objects.get(pk=step), "claim", "fail")
    alarm = walk(alarm, "fail")
    walk(alarm.deployment, "fail_rollback")
    with world.acting_as("operator"):
        complete_manually(alarm.pk, maintenance="off", service="none", reason="by hand, at 10:00")
    return alarm


def test_a_manual_completion_is_confirmed_again_after_another_attempt(world: Any) -> None:
    alarm = completed_by_hand(world)
    with world.acting_as("operator"):
        retry(alarm.pk, reason="the disk is free again")
    alarm = walk(alarm, "fail")
    walk(alarm.deployment, "fail_rollback")
    with world.acting_as("second_operator"):
        complete_manually(alarm.pk, maintenance="off", service="none", reason="yes")
    assert world.fresh(alarm).state == "failed", "one person has said so about how it stands now"


def test_a_manual_completion_stated_by_someone_without_the_right_any_more_is_not_confirmed_alone(world: Any) -> None:
    alarm = completed_by_hand(world)
    with world.acting_as("administrator"):
        deactivate(world.people["operator"].pk, reason="left")
    for who, state in (("second_operator", "failed"), ("third_operator", "reporting")):
        if who == "third_operator":
            world.people[who] = newcomer(who, ("operator", None))
        with world.acting_as(who):
            complete_manually(alarm.pk, maintenance="off", service="none", reason="yes")
        assert world.fresh(alarm).state == state


def fixed(world: Any) -> Any:
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    return release


def write(world: Any, document: Document, body: str) -> None:
    with world.acting_as("developer"):
        review.write(document.pk, body=body)


def test_a_document_is_not_exchanged_between_reading_and_signing(world: Any, browsers: Callable[[str], Any]) -> None:
    release = fixed(world)
    document = release.documents.first()
    write(world, document, "harmless")
    tester, address, key = (
        browsers("tester"),
        reverse("sign-all", args=[release.pk]),
        f"document-check_content-{document.pk}",
    )
    page = tester.get(address).content.decode()
    read = shown(document)
    assert "harmless" in page and f'name="{key}-digest" value="{read}"' in page
    write(world, document, "EVIL")
    signed = tester.post(address, {"sign": [key], f"{key}-digest": read}, follow=True).content.decode()
    assert "The text shown to you differs from the current text" in signed
    assert world.fresh(document).state == "draft"
    assert tester.post(address, {"sign": [key]}).status_code == 400
    tester.post(address, {"sign": [key], f"{key}-digest": shown(document)})
    assert world.fresh(document).state == "content_checked"
    assert last("document:check_content")["signature"]["digest"] == shown(document)


@pytest.mark.parametrize(
    ("name", "who", "before"),
    [
        ("approve", "manager", [("check_content", "operator")]),
        ("prepare_publication", "manager", [("check_content", "operator"), ("approve", "project_manager")]),
    ],
)
def test_a_document_is_approved_and_made_ready_as_it_was_shown(
    world: Any, browsers: Callable[[str], Any], name: str, who: str, before: list[tuple[str, str]]
) -> None:
    document = fixed(world).documents.first()
    write(world, document, "harmless")
    read = shown(document)
    write(world, document, "EVIL")
    for verb, signer in before:
        with world.acting_as(signer):
            getattr(review, verb)(document.pk, digest=shown(document))
    page = (
        browsers(who)
        .get(reverse("operation", args=["document", {"prepare": "prepare_publication"}.get(name, name), document.pk]))
        .content.decode()
    )
    assert "EVIL" in page and f'name="digest" value="{shown(document)}"' in page
    with world.acting_as(who):
        with pytest.raises(GateNotPassed, match="Read it again"):
            getattr(review, name)(document.pk, digest=read)
        getattr(review, name)(document.pk, digest=shown(document))


def test_an_item_is_not_signed_for_another_content(world: Any, browsers: Callable[[str], Any]) -> None:
    release = fixed(world)
    first, second = release.checklist.all()[:2]
    client, address, key = browsers("tester"), reverse("sign-all", args=[release.pk]), f"checklist-sign-{first.pk}"
    page = client.get(address).content.decode()
    read = shown(first)
    assert f'name="{key}-digest" value="{read}"' in page and "as written" in page
    with world.acting_as("manager"):
        reopen_scope(release.pk, reason="r")
        edit(release.pk, fields={"impact": "everything changes"})
        lock_scope(release.pk)
    sent = {"sign": [key], f"{key}-evidence": "read", f"{key}-digest": read}
    assert (
        "The content shown to you differs from the locked scope"
        in client.post(address, sent, follow=True).content.decode()
    )
    assert ChecklistItem.objects.get(pk=first.pk).signed_at is None
    page = client.get(reverse("operation", args=["checklist", "sign", first.pk])).content.decode()
    assert "everything changes" in page
    with world.acting_as("tester"):
        with pytest.raises(GateNotPassed):
            sign(second.pk, digest=shown(first), evidence="read")
        sign(first.pk, digest=shown(first), evidence="read")
    assert last("checklist:sign")["signature"]["digest"] == shown(first)


def test_the_authoriser_does_not_approve_as_well(world: Any) -> None:
    alarm = alarm_of(world)
    count(alarm, 1)
    authorise(world, alarm)
    walk(alarm.deployment, "succeed")
    alter(alarm, authorised_by=world.people["committee_a"])
    with pytest.raises(NotPermitted, match="A different person from the one before must do this"):
        say_yes(world, alarm)
