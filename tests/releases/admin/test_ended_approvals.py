"""Before an operation that ends an approval or clears signatures its page names them, and just those end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from environments.models import Account
from releases.admin.pages.operation import effects
from releases.models import ApprovalRequest, Release
from releases.operations.checklist.sign import sign
from releases.operations.release.prepare import reopen_scope
from releases.operations.team.assign import assign
from tests.releases.gates.asking import shown


@pytest.mark.parametrize("verb", ["reopen_scope", "cancel", "withdraw_request"])
def test_the_page_names_the_approvals_that_end(
    world: dict[str, Any], browsers: Callable[[str], Any], verb: str
) -> None:
    """The page names the approvers, and the people whose approval is requested again."""
    html = browsers("manager").get(reverse("operation", args=["release", verb, world["review"].pk])).content.decode()
    card = html[html.index('id="cost"') :].split("</section>")[0]
    assert "Approval of Committee A" in card and "ends" in card
    assert ("Approval is requested again: " in card) == (verb != "cancel")


def test_exactly_the_named_approvals_end(world: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """After the scope is reopened the request is invalidated, and the same question costs no further approval."""
    release = world["review"]
    before = effects.of("release:reopen_scope", release)
    with acting_as("manager"):
        reopen_scope(release.pk, reason="more")
    assert any("Approval of Committee A" in line for line in before.ends)
    assert any("Milestones to be reached again" in line for line in before.again)
    assert ApprovalRequest.objects.get(pk=world["round"].pk).state == "invalidated"
    after = effects.of("release:reopen_scope", Release.objects.get(pk=release.pk))
    assert not [line for line in after.ends if "Approval" in line or "round" in line]


def test_editing_a_draft_names_the_signatures_that_end(world: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """All signatures for a change of the content, those of the technical part for a configuration."""
    release = world["review"]
    requirement, technical = (release.checklist.filter(group=g).first() for g in ("requirements", "technical"))
    with acting_as("tester"):
        for item in (requirement, technical):
            sign(item.pk, digest=shown(item), evidence="read")
    with acting_as("manager"):
        reopen_scope(release.pk, reason="more")
    row = Release.objects.get(pk=release.pk)
    everything, one = effects.of("release:edit", row), effects.of("release:set_configuration", row)
    assert [str(requirement) in " ".join(c.ends) for c in (everything, one)] == [True, False]
    assert [str(technical) in " ".join(c.ends) for c in (everything, one)] == [True, True]
    assert one.stays and "Tester" in " ".join(everything.again)


def test_an_operation_without_losses_says_so_or_says_nothing(
    world: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """Rescheduling a draft loses nothing and the page says so; a team before approval is not asked at all."""
    assert effects.of("release:set_scheduled_start", world["draft"]) == effects.Cost(asked=True)
    assert not effects.of("team:assign", world["review"]).asked
    assert not effects.of("checklist:sign", world["review"].checklist.first()).asked
    with acting_as("manager"):
        assign(
            world["draft"].pk,
            team_role="implementer",
            account_id=Account.objects.get(username="operator").pk,
            telephone="1",
        )
