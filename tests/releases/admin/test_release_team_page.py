"""The team, kept by a release manager: the people that the form offers, and those refused as decision maker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from environments import access
from environments.models import Account, Environment
from environments.operations.access.grant import request_role
from environments.operations.account.deactivate import deactivate
from releases.models import TeamMember
from tests.releases.gates.asking import COMMAND


def _page(world: dict[str, Any]) -> str:
    return reverse("operation", args=["team", "assign", world["review"].pk])


def test_the_form_offers_people_without_rights_on_accounts(
    world: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    """All active accounts of persons; neither service accounts nor deactivated ones."""
    assert not access.may(people["manager"], "manage_accounts")
    with acting_as("administrator"):
        deactivate(people["tester"].pk, reason="left")
    fields = browsers("manager").get(_page(world)).context["form"].fields
    offered = [set(field.queryset) for name, field in fields.items() if name.endswith("account_id")]
    assert len(offered) == 4
    assert all(found == set(Account.objects.filter(kind="person").exclude(username="tester")) for found in offered)


@pytest.mark.parametrize("where", ["", "staging"])
def test_a_decision_maker_must_be_permitted_to_decide_there(
    world: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any], where: str
) -> None:
    """Neither a developer nor an operator of staging decides about production: the form keeps its values."""
    place = Environment.objects.filter(slug=where).first()
    with acting(COMMAND):
        if place is not None:
            request_role(people["developer"].pk, role="operator", environment_id=place.pk, reason="a part")
    role = "rollback_decision_maker"
    sent = {f"{role}_account_id": people["developer"].pk, f"{role}_telephone": "03-9999-9999"}
    answer = browsers("manager").post(_page(world), sent)
    html, said = answer.content.decode(), "Developer does not have permission to authorise a rollback in Production"
    assert answer.status_code == 400 and said in html
    assert 'value="03-9999-9999"' in html
    entry = TeamMember.objects.get(release=world["review"], team_role="rollback_decision_maker")
    assert entry.account.username == "manager"
    answer = browsers("manager").post(_page(world), sent | {f"{role}_account_id": people["second_operator"].pk})
    assert answer.status_code == 302
    assert TeamMember.objects.get(pk=entry.pk).account.username == "second_operator"


def test_a_deactivated_account_gets_no_team_role(
    world: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    with acting_as("administrator"):
        deactivate(people["operator"].pk, reason="left")
    sent = {"implementer_account_id": people["operator"].pk, "implementer_telephone": "03-9999-9999"}
    assert browsers("manager").post(_page(world), sent).status_code == 400
    assert TeamMember.objects.get(release=world["review"], team_role="implementer").telephone == "03-1234-5678"
    assert browsers("manager").post(_page(world), {}).status_code == 400
