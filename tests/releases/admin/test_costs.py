"""Before an operation that ends consent or clears signatures its page names them, and the action then does just that."""

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
    """Who approved, and whose approval is asked for again."""
    html = browsers("manager").get(reverse("operation", args=["release", verb, world["review"].pk])).content.decode()
    card = html[html.index('id="cost"') :].split("</section>")[0]
    assert "Approval of Committee A" in card and "ends" in card
    assert ("Approval is requested again: " in card) == (verb != "cancel")


def test_what_is_named_is_what_ends(world: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """After the amendment the round is void and the same question costs no approval any more."""
    release = world["review"]
    before = effects.of("release:reopen_scope", release)
    with acting_as("manager"):
        reopen_scope(release.pk, reason="more")
    assert any("Approval of Committee A" in line for line in before.lost)
    assert any("Milestones to be reached again" in line for line in before.again)
    assert ApprovalRequest.objects.get(pk=world["round"].pk).state == "invalidated"
    after = effects.of("release:reopen_scope", Release.objects.get(pk=release.pk))
    assert not [line for line in after.lost if "Approval" in line or "round" in line]


def test_an_edit_of_a_draft_names_the_signatures_on_it(world: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """All of them for a change of the content, those of the technical part for a configuration."""
    release = world["review"]
    requirement, technical = (release.checklist.filter(group=g).first() for g in ("requirements", "technical"))
    with acting_as("tester"):
        for item in (requirement, technical):
            sign(item.pk, digest=shown(item), evidence="read")
    with acting_as("manager"):
        reopen_scope(release.pk, reason="more")
    row = Release.objects.get(pk=release.pk)
    everything, one = effects.of("release:edit", row), effects.of("release:set_configuration", row)
    assert [str(requirement) in " ".join(c.lost) for c in (everything, one)] == [True, False]
    assert [str(technical) in " ".join(c.lost) for c in (everything, one)] == [True, True]
    assert one.stays and "Tester" in " ".join(everything.again)


def test_acts_that_cost_nothing_say_nothing_or_say_so(world: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """A move of a draft loses nothing and says so; a team before approval is not even asked."""
    assert effects.of("release:set_scheduled_start", world["draft"]) == effects.Cost(asked=True)
    assert not effects.of("team:assign", world["review"]).asked
    assert not effects.of("checklist:sign", world["review"].checklist.first()).asked
    with acting_as("manager"):
        assign(
            world["draft"].pk, duty="implementer", account_id=Account.objects.get(username="operator").pk, telephone="1"
        )
