"""Approval: bound to the content, single use, by people other than the authors."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.urls import reverse

from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from releases.api.shapes import DeploymentLine, deployment_out
from releases.models import ApprovalDecision, ApprovalRequest
from releases.operations.approval import decide
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.release.plan import edit
from releases.operations.release.prepare import reopen_scope
from releases.operations.release.withdraw_request import withdraw_request
from tests.releases.gates.asking import alter


def test_two_committee_members_approve_a_request(world: Any) -> None:
    release, approval_request = world.approved()
    assert (release.state, approval_request.state) == ("approved", "approved")
    signature = ApprovalDecision.objects.filter(approval_request=approval_request)[0].signature
    assert signature["method"] == "password" and signature["digest"] == approval_request.digest


def test_one_approval_is_not_enough(world: Any) -> None:
    release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(approval_request).state == "in_review"
    assert world.fresh(release).state == "in_review"


def test_the_author_may_not_approve(world: Any) -> None:
    _release, approval_request = world.submitted(author="author_on_committee")
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="author"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert not ApprovalDecision.objects.filter(approval_request=approval_request).exists()


def test_the_author_of_a_commit_may_not_approve(world: Any, people: dict[str, Any]) -> None:
    from environments.operations.access.grant import request_role

    with world.acting_as("administrator"):
        grant = request_role(people["developer"].pk, role="committee", reason="a seat")
    with world.acting_as("second_administrator"):
        from environments.operations.access.grant import confirm

        confirm(grant.pk)
    _release, approval_request = world.submitted()
    with world.acting_as("developer"), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest)


def test_one_person_counts_once(world: Any) -> None:
    _release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
        with pytest.raises(NotPermitted):
            decide.approve(approval_request.pk, digest=approval_request.digest)


def test_an_approval_needs_a_fresh_proof_of_identity(world: Any) -> None:
    _release, approval_request = world.submitted()
    with world.acting_as("committee_a", proved=False), pytest.raises(SignatureRequired):
        decide.approve(approval_request.pk, digest=approval_request.digest)


def test_an_approval_of_another_digest_is_refused(world: Any) -> None:
    _release, approval_request = world.submitted()
    with world.acting_as("committee_a"), pytest.raises(GateNotPassed):
        decide.approve(approval_request.pk, digest="0" * 64)


def test_reopening_the_scope_invalidates_the_request_and_names_the_change(world: Any) -> None:
    release, approval_request = world.approved()
    with world.acting_as("manager"):
        reopen_scope(release.pk, reason="too short")
    ended = world.fresh(approval_request)
    assert (ended.state, ended.invalidated_by) == ("invalidated", "scope_reopened")
    assert world.fresh(release).state == "draft"


def test_an_ended_approval_is_shown_as_ended_on_every_page_with_its_cause(world: Any, browsers: Any) -> None:
    release, approval_request = world.approved()
    client = browsers("manager")

    def pages() -> list[str]:
        found = [
            client.get(reverse("approval-request", args=[approval_request.pk])).content.decode().split("</article>")[0]
        ]
        found.append(client.get(reverse("release", args=[release.pk])).content.decode().split('id="approvals"')[1])
        sheet = client.get(reverse("approval-request-form", args=[release.pk])).content.decode()
        return [*(html.split("</article>")[0] for html in found), sheet.split("Approval record")[1]]

    granted = pages()
    assert all("r-chip good" in html and "✓" in html for html in granted[:2])
    assert not any("The approvals in this request no longer count" in html for html in granted)
    # The page shows the change before any process has ended the request.
    changed = alter(release, impact="another one")
    for html in pages():
        assert "Invalidated: “content of the request” is no longer what was approved." in html
        assert "r-chip good" not in html and "r-result good" not in html
        assert "The approvals in this request no longer count" in html
    alter(changed, impact=release.impact)
    with world.acting_as("manager"):
        reopen_scope(release.pk, reason="too short")
        edit(release.pk, fields={"title": "Another title"})
    for html in pages():
        assert "Invalidated: the scope was reopened. Changed since then: content of the request" in html
        assert "r-chip good" not in html and "r-result good" not in html


def test_a_deployment_cancelled_by_an_ended_approval_says_why(world: Any) -> None:
    deployment = world.scheduled()
    with world.acting_as("manager"):
        reopen_scope(deployment.release_id, reason="too short")
    assert world.fresh(deployment).state == "cancelled"
    assert deployment_out(world.fresh(deployment), DeploymentLine).blockers == ["the scope was reopened"]


def test_a_changed_configuration_invalidates_the_approval_and_names_the_key(world: Any) -> None:
    from audit.actor import Actor, acting
    from releases.models import Release

    release, approval_request = world.approved()
    from audit.operation import operation

    with acting(Actor(account_id=None, name="x", kind="command", channel="command")):
        with operation("test:tamper", (Release, release.pk)) as op:
            op.get(Release).rollback_pre_authorised = True
        assert invalidate_stale() == [release.pk]
    assert (world.fresh(approval_request).state, world.fresh(approval_request).invalidated_by) == (
        "invalidated",
        "rollback_pre_authorised",
    )
    assert world.fresh(release).state == "testing_completed"


def test_sending_back_and_rejecting_need_a_comment(world: Any) -> None:
    release, approval_request = world.submitted()
    with world.acting_as("committee_b"):
        with pytest.raises(InvalidInput):
            decide.reject(approval_request.pk, digest=approval_request.digest, comment=" ")
        decide.send_back(approval_request.pk, digest=approval_request.digest, comment="the way back is thin")
    assert (world.fresh(release).state, world.fresh(approval_request).state) == ("draft", "sent_back")


def test_withdrawing_ends_the_request(world: Any) -> None:
    release, approval_request = world.submitted()
    with world.acting_as("manager"):
        withdraw_request(release.pk)
    assert (world.fresh(release).state, world.fresh(approval_request).state) == ("testing_completed", "withdrawn")


def test_an_approver_does_not_schedule(world: Any, people: dict[str, Any]) -> None:
    from environments.operations.access.grant import confirm as second, request_role

    with world.acting_as("administrator"):
        grant = request_role(people["committee_a"].pk, role="operator", reason="night shift")
    with world.acting_as("second_administrator"):
        second(grant.pk)
    release, _request = world.final_checked()
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=world.environments["production"].pk)
    with world.acting_as("committee_a"), pytest.raises(NotPermitted, match="approved"):
        schedule(deployment.pk)


def test_a_second_live_request_for_the_window_is_refused(world: Any) -> None:
    release, _request = world.submitted()
    with world.acting_as("manager"), pytest.raises(NotPossible):
        from releases.operations.approval.submit import submit

        submit(release.pk)


def test_each_person_counts_once_in_concurrent_approvals(world: Any, database: str) -> None:
    """Eight connections approve as two people at once: two approvals, one approved request, the others refused."""
    from django.db import connection

    _release, approval_request = world.submitted()
    results: list[str] = []
    ready = threading.Barrier(8)

    def approve(name: str) -> None:
        try:
            with world.acting_as(name):
                ready.wait(20)
                decide.approve(approval_request.pk, digest=approval_request.digest)
                results.append("done")
        except (NotPermitted, NotPossible) as refused:
            results.append(refused.kind)
        finally:
            connection.close()

    threads = [threading.Thread(target=approve, args=(f"committee_{'ab'[i % 2]}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results.count("done") == 2, results
    assert len(results) == 8
    assert ApprovalDecision.objects.filter(approval_request=approval_request).count() == 2
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "approved"
