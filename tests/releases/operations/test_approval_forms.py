"""条件付き承認, 代理承認, committee meetings, and missing approvers before a request is submitted (J1, J3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit.refusals import InvalidInput, NotPermitted
from environments.models import AccessGrant
from environments.operations.delegation import request as delegates
from releases.gates import quorum
from releases.models import ApprovalDecision, CommitteeMeeting, FollowUp
from releases.operations.approval import decide
from releases.operations.follow_up.complete import complete
from releases.operations.meeting.record import decide as decided, record
from tests.releases.gates.asking import alter, ask


def appointed(
    world: Any, absent: str = "committee_b", delegate: str = "project_manager", *, confirm: bool = True
) -> Any:
    moment = datetime.now(UTC)
    with world.acting_as(absent):
        row = delegates.request_delegation(
            delegator_id=world.people[absent].pk,
            delegate_id=world.people[delegate].pk,
            starts_at=moment - timedelta(seconds=1),
            until=moment + timedelta(hours=8),
            reason="on leave",
        )
    if confirm:
        with world.acting_as("administrator"):
            delegates.confirm(row.pk)
    return row


def test_a_conditional_approval_blocks_the_start_until_the_committee_completes_it(world: Any) -> None:
    release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        decide.approve_with_condition(
            approval_request.pk, digest=approval_request.digest, condition="the support desk is told"
        )
    with world.acting_as("committee_b"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(approval_request).state == "approved"
    debt = FollowUp.objects.get(release=release)
    answer = ask(world, release, "approval")
    assert answer.result == "not_passed" and "the support desk is told" in answer.reason
    with world.acting_as("manager"), pytest.raises(NotPermitted):
        complete(debt.pk, note="told")
    with world.acting_as("committee_a"):
        complete(debt.pk, note="mail of today")
    assert ask(world, release, "approval").result == "passed"


def test_a_conditional_approval_names_its_condition(world: Any) -> None:
    _release, approval_request = world.submitted()
    with world.acting_as("committee_a"), pytest.raises(InvalidInput):
        decide.approve_with_condition(approval_request.pk, digest=approval_request.digest, condition=" ")


def test_a_delegate_approves_in_their_own_name_and_the_two_count_once(world: Any) -> None:
    _release, approval_request = world.submitted()
    appointed(world)
    absent = world.people["committee_b"]
    with world.acting_as("project_manager"):
        decide.approve(approval_request.pk, digest=approval_request.digest, on_behalf_id=absent.pk)
    word = ApprovalDecision.objects.get(approval_request=approval_request)
    assert (word.account.username, word.on_behalf) == ("project_manager", absent)
    assert word.roles == ["committee"] and word.signature["name"] == str(world.people["project_manager"])
    with world.acting_as("committee_b"), pytest.raises(NotPermitted, match="already"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(approval_request).state == "in_review"
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(approval_request).state == "approved"


def test_a_committee_member_who_is_also_a_delegate_counts_as_one_person(world: Any) -> None:
    _release, approval_request = world.submitted()
    appointed(world, delegate="committee_a")
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
        with pytest.raises(NotPermitted, match="already"):
            decide.approve(
                approval_request.pk, digest=approval_request.digest, on_behalf_id=world.people["committee_b"].pk
            )
    assert world.fresh(approval_request).state == "in_review"


def test_only_a_present_delegate_may_decide_for_a_person(world: Any) -> None:
    _release, approval_request = world.submitted()
    absent = world.people["committee_b"]
    row = appointed(world, confirm=False)
    with world.acting_as("project_manager"), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest, on_behalf_id=absent.pk)
    with world.acting_as("administrator"):
        delegates.confirm(row.pk)
    with world.acting_as("committee_b"):
        delegates.revoke(row.pk, reason="back again")
    with world.acting_as("project_manager"), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest, on_behalf_id=absent.pk)


def test_a_delegate_of_the_author_is_kept_out_like_the_author(world: Any) -> None:
    _release, approval_request = world.submitted(author="author_on_committee")
    appointed(world, absent="author_on_committee")
    author = world.people["author_on_committee"]
    with world.acting_as("project_manager"), pytest.raises(NotPermitted, match="author"):
        decide.approve(approval_request.pk, digest=approval_request.digest, on_behalf_id=author.pk)


def test_a_delegate_who_edited_the_release_is_kept_out(world: Any) -> None:
    release, approval_request = world.submitted()
    appointed(world, delegate="developer")
    assert world.people["developer"] in release.editors.all()
    with world.acting_as("developer"), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest, on_behalf_id=world.people["committee_b"].pk)


def held(world: Any, *attendees: str) -> CommitteeMeeting:
    with world.acting_as("manager"):
        return record(
            held_at=datetime.now(UTC) - timedelta(hours=1),
            attendees=tuple(world.people[name].pk for name in attendees),
            minutes="1.3.0 was presented.",
        )


def test_an_approval_links_to_its_committee_meeting(world: Any) -> None:
    release, approval_request = world.submitted()
    meeting = held(world, "committee_a")
    with (
        world.acting_as("committee_a"),
        pytest.raises(InvalidInput, match="That meeting did not decide in favour of this release"),
    ):
        decide.approve(approval_request.pk, digest=approval_request.digest, meeting_id=meeting.pk)
    with world.acting_as("manager"):
        decided(meeting.pk, release_id=release.pk, decision="approve")
    with world.acting_as("committee_b"), pytest.raises(InvalidInput, match="attend"):
        decide.approve(approval_request.pk, digest=approval_request.digest, meeting_id=meeting.pk)
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest, meeting_id=meeting.pk)
    assert ApprovalDecision.objects.get(approval_request=approval_request).meeting == meeting
    assert world.fresh(approval_request).state == "in_review", (
        "the meeting's decision replaces no person's own decision"
    )


def test_a_meeting_has_attendees_and_minutes_and_is_in_the_past(world: Any) -> None:
    with pytest.raises(InvalidInput):
        held(world)
    with world.acting_as("manager"), pytest.raises(InvalidInput):
        record(held_at=datetime.now(UTC) + timedelta(hours=1), attendees=(world.people["manager"].pk,), minutes="x")
    with world.acting_as("auditor"), pytest.raises(NotPermitted):
        record(held_at=datetime.now(UTC), attendees=(world.people["auditor"].pk,), minutes="x")


def test_missing_approvers_are_shown_before_submission(world: Any) -> None:
    release, production = world.planned(), world.environments["production"]
    assert quorum.lacking(release, production) == {}
    kept = AccessGrant.objects.get(account=world.people["committee_b"], role="committee")
    alter(kept, revoked_at=datetime.now(UTC))
    assert quorum.lacking(release, production) == {"committee": 1}
