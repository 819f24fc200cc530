"""The last people whom a rule needs keep their role, and managers are notified of a rule that can no longer be met."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.clock import now
from audit.models import Event
from audit.refusals import GateNotPassed
from environments.models import AccessGrant, AccessReviewItem, Delegation
from environments.operations.access.grant import revoke
from environments.operations.access_review import review
from environments.operations.account.deactivate import deactivate
from environments.operations.delegation import request
from releases.gates.quorum import lacking
from releases.gates.staffing import FINAL_CHECK, shortfalls
from releases.models import Procedure
from releases.operations.approval.decide import approve
from releases.operations.procedure import put_into_effect
from releases.procedures.document import Procedure as Content

from .asking import alter, make


def grant_of(world: Any, name: str, role: str = "committee") -> AccessGrant:
    return AccessGrant.objects.in_effect().get(account=world.people[name], role=role)


def end(world: Any, name: str, role: str = "committee") -> None:
    with world.acting_as("administrator"):
        revoke(grant_of(world, name, role).pk, reason="moved to another team")


def last_withdrawal() -> dict[str, Any]:
    event = Event.objects.filter(kind="operation", operation="access:revoke").order_by("-pk").first()
    assert event is not None
    details: dict[str, Any] = event.contents["after"]
    return details


def active() -> Content:
    return Procedure.objects.get(state="in_effect").document


def test_the_last_committee_members_keep_their_role(world: Any) -> None:
    """Three of them, and production asks two: one may go, the next one only when another person has the role."""
    assert shortfalls(active()) == []
    end(world, "committee_a")
    with world.acting_as("administrator"), pytest.raises(GateNotPassed) as refused:
        revoke(grant_of(world, "committee_b").pk, reason="moved")
    said = [str(reason) for reason in refused.value.reasons]
    assert "Grant the role to another person first" in said[0]
    assert any("Production" in line and "Release committee, 1 more needed" in line for line in said[1:])
    assert grant_of(world, "committee_b")
    make(
        AccessGrant,
        account=world.people["tester"],
        role_id="committee",
        starts_at=now(),
        confirmed_at=now(),
        reason="new",
    )
    end(world, "committee_b")


def test_a_review_does_not_revoke_their_role_either(world: Any) -> None:
    end(world, "committee_a")
    with world.acting_as("administrator"):
        review.open_review(due_at=now() + timedelta(days=9), reason="yearly")
        item = AccessReviewItem.objects.get(grant=grant_of(world, "committee_b"))
        with pytest.raises(GateNotPassed):
            review.revoke(item.pk, note="moved")


def test_an_unneeded_role_is_revoked_and_a_gap_in_the_final_check_is_reported(world: Any) -> None:
    end(world, "tester", "tester")
    assert "unmet" not in last_withdrawal()
    end(world, "operator", "operator")
    assert not [s for s in shortfalls(active()) if s.subject == FINAL_CHECK]
    end(world, "second_operator", "operator")
    (lack,) = [s for s in shortfalls(active()) if s.subject == FINAL_CHECK]
    assert (lack.role, lack.missing, lack.binding) == ("operator", 1, False)
    assert [entry["role"] for entry in last_withdrawal()["unmet"]] == ["operator"]


def test_a_leavers_account_is_deactivated_and_managers_are_notified(world: Any) -> None:
    from tests.releases.operations.notifying import forget, make_notifications, only

    only(("procedure:report_overdue", None, "admin"))
    end(world, "committee_a")
    forget()
    with world.acting_as("administrator"):
        account = deactivate(world.people["committee_b"].pk, reason="left the company")
    assert not account.is_active
    (notification,) = [one for one in make_notifications() if one.event == "procedure:report_overdue"]
    notified = {message.account.username for message in notification.inbox_items.all() if message.account}
    assert {"administrator", "manager", "project_manager"} <= notified
    assert (
        "Release committee, 1 more needed" in notification.texts["en"]["body"]
        and "left the company" in notification.texts["en"]["body"]
    )
    assert "あと1名" in notification.texts["ja"]["body"]


def test_an_already_unmet_rule_prevents_no_other_revocation(world: Any) -> None:
    raw = active().model_dump(mode="json")
    next(r for r in raw["approval_rules"] if (r["subject"], r["tier"]) == ("regular", "production"))["number"] = 5
    alter(Procedure.objects.get(state="in_effect"), content=raw)
    end(world, "committee_a")
    (entry,) = last_withdrawal()["unmet"]
    assert (entry["subject"], entry["missing"]) == ("regular", 3), "notified nevertheless"


def drafted(number: int) -> Procedure:
    """A draft that asks so many of the committee for a regular release to production."""
    raw = copy.deepcopy(active().model_dump(mode="json"))
    raw["version"] = "1.1.0"
    raw["history"].append({**raw["history"][-1], "version": "1.1.0", "date": "2026-11-01"})
    next(r for r in raw["approval_rules"] if (r["subject"], r["tier"]) == ("regular", "production"))["number"] = number
    return put_into_effect.load(Content.checked(raw), reason="more eyes")


@pytest.mark.parametrize(("number", "refused"), [(3, False), (4, True)])
def test_a_procedure_that_needs_more_people_than_exist_is_not_submitted(world: Any, number: int, refused: bool) -> None:
    with world.acting_as("manager"):
        draft = drafted(number)
        if not refused:
            assert put_into_effect.submit(draft.pk, reason="more eyes").state == "in_review"
            return
        with pytest.raises(GateNotPassed, match="require fewer people") as closed:
            put_into_effect.submit(draft.pk, reason="more eyes")
    assert any("1 more needed" in str(reason) for reason in closed.value.reasons)
    assert Procedure.objects.get(pk=draft.pk).state == "draft"


def test_people_are_counted_once_over_all_rules(world: Any) -> None:
    """A person with two roles fills one place; the delegate takes an absent person's place and is one person."""
    alter(grant_of(world, "committee_a"), revoked_at=now())
    assert shortfalls(active()) == []
    pair = (world.people["committee_b"], world.people["author_on_committee"])
    assert {s.role for s in shortfalls(active(), absences=[pair]) if s.binding} == {"committee"}
    other = (world.people["committee_b"], world.people["developer"])
    assert shortfalls(active(), absences=[other]) == []


def test_a_release_warns_of_roles_that_end_before_t_0(world: Any) -> None:
    """The author is kept out, so both others are needed: at T-0 too, and a delegate who is kept out does not count."""
    release, place = world.planned(), world.environments["production"]
    assert lacking(release, place) == {}
    t0 = now() + timedelta(days=20)
    later = alter(release, scheduled_start_at=t0, scheduled_end_at=t0 + timedelta(hours=4))
    alter(grant_of(world, "committee_a"), until=t0 - timedelta(days=1))
    assert lacking(later, place) == {"committee": 1}, "a role that ends before T-0"
    alter(grant_of(world, "committee_a"), until=None)
    make(
        Delegation,
        delegator=world.people["committee_b"],
        delegate=world.people["author_on_committee"],
        reason="leave",
        starts_at=t0 - timedelta(days=5),
        until=t0 + timedelta(days=25),
        requested_by=world.people["manager"],
        confirmed_by=world.people["administrator"],
        confirmed_at=now(),
    )
    assert lacking(world.fresh(later), place) == {"committee": 1}, "the delegate is the author"


def test_a_release_in_review_warns_of_t_0_counting_given_approvals(world: Any) -> None:
    release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    place, t0 = world.environments["production"], now() + timedelta(days=20)
    later = alter(release, scheduled_start_at=t0)
    assert lacking(later, place) == {}
    make(
        Delegation,
        delegator=world.people["committee_b"],
        delegate=world.people["author_on_committee"],
        reason="leave",
        starts_at=t0 - timedelta(days=5),
        until=t0 + timedelta(days=25),
        requested_by=world.people["manager"],
        confirmed_by=world.people["administrator"],
        confirmed_at=now(),
    )
    assert lacking(later, place) == {"committee": 1}, "the delegate is the author, and the other has approved already"


def test_an_approved_release_warns_of_an_approval_that_will_not_count_at_t_0(world: Any, browsers: Any) -> None:
    release, _request = world.approved()
    page, client = reverse("release", args=[release.pk]), browsers("manager")
    alter(release, scheduled_start_at=now() + timedelta(days=20))
    assert "data-uncounted" not in client.get(page).content.decode()
    alter(grant_of(world, "committee_b"), until=now() + timedelta(days=10))
    html = client.get(page).content.decode()
    assert "data-uncounted" in html and "The approval of Committee B does not count" in html


def test_the_forms_show_rules_that_could_no_longer_be_met(world: Any, browsers: Any) -> None:
    end(world, "committee_a")
    client = browsers("administrator")
    closing = reverse("operation", args=["account", "deactivate", world.people["committee_b"].pk])
    html = client.post(closing, {"reason": "left"}).content.decode()
    assert "Rules that could no longer be met" in html and "Release committee, 1 more needed" in html
    ending = reverse("operation", args=["access", "revoke", grant_of(world, "committee_b").pk])
    assert "Release committee, 1 more needed" in client.post(ending, {"reason": "moved"}).content.decode()
    given = {
        "delegator_id": world.people["committee_b"].pk,
        "delegate_id": world.people["author_on_committee"].pk,
        "reason": "leave",
        "starts_at": (now() + timedelta(days=1)).isoformat(),
        "until": (now() + timedelta(days=9)).isoformat(),
    }
    html = client.post(reverse("operation-new", args=["delegation", "request"]), given).content.decode()
    assert "Release committee, 1 more needed" in html and not Delegation.objects.exists()
    with world.acting_as("administrator"):
        request.request_delegation(**{**given, "starts_at": now(), "until": now() + timedelta(days=1)})
