"""An earlier version of the procedure takes effect again by two administrators and an auditor, whatever the rules."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from audit.models import Outbox
from audit.refusals import NotPermitted, NotPossible
from environments.models import AccessRule, Environment
from releases.models import ApprovalRequest, Procedure
from releases.operations.approval import decide
from releases.operations.procedure.restore import request_restore, withdraw
from releases.procedures.document import Procedure as Content
from releases.procedures.load import default

from .test_own_roles import bank, in_effect


@pytest.fixture
def first(world: Any) -> Procedure:
    """The version from before one that has its own roles."""
    earlier = Procedure.objects.get(state="in_effect")
    in_effect(world, bank())
    return world.fresh(earlier)


def requested(world: Any, procedure: Procedure, who: str = "administrator") -> ApprovalRequest:
    """Request that a version takes effect again."""
    with world.acting_as(who):
        return request_restore(procedure.pk, reason="nobody can approve any more")


def approve(world: Any, approval_request: ApprovalRequest, who: str) -> None:
    """Approve as somebody."""
    with world.acting_as(who):
        decide.approve(approval_request.pk, digest=approval_request.digest)


def test_two_administrators_and_an_auditor_bring_it_back(world: Any, first: Procedure) -> None:
    approval_request = requested(world, first)
    approve(world, approval_request, "second_administrator")
    assert world.fresh(first).state == "retired", "the auditor has not witnessed it"
    approve(world, approval_request, "auditor")
    assert (world.fresh(first).state, Procedure.objects.get(version="9.0.0").state) == ("in_effect", "retired")
    assert Outbox.objects.filter(event="procedure:restore").count() == 2, "an alarm at the request and at the return"


def test_the_request_shows_what_would_change(world: Any, first: Procedure, browsers: Any) -> None:
    approval_request = requested(world, first)
    html = browsers("auditor").get(reverse("approval-request", args=[approval_request.pk])).content.decode()
    assert "difference from version 9.0.0" in html and "risk_office" in html
    assert "Return to an earlier release procedure" in html
    assert "operation/approval/approve/" in html and "operation/approval/reject/" in html
    tasks = {name: browsers(name).get(reverse("admin:index")).content.decode() for name in ("auditor", "committee_a")}
    assert {name: "Decide on approval request" in page for name, page in tasks.items()} == {
        "auditor": True,
        "committee_a": False,
    }


def test_the_requester_and_those_of_other_roles_do_not_approve_it(world: Any, first: Procedure) -> None:
    approval_request = requested(world, first)
    for name in ("administrator", "committee_a", "manager", "operator"):
        with pytest.raises(NotPermitted):
            approve(world, approval_request, name)
    approve(world, approval_request, "auditor")
    assert world.fresh(first).state == "retired"


@pytest.mark.parametrize("who", ["auditor", "manager", "committee_a"])
def test_only_an_administrator_requests_it(world: Any, first: Procedure, who: str) -> None:
    with pytest.raises(NotPermitted):
        requested(world, first, who)


def test_only_a_version_that_was_in_effect_returns(world: Any, first: Procedure) -> None:
    del first
    with pytest.raises(NotPossible):
        requested(world, Procedure.objects.get(state="in_effect"))


def test_a_rejected_return_leaves_everything_as_it_was(world: Any, first: Procedure) -> None:
    approval_request = requested(world, first)
    with world.acting_as("auditor"):
        decide.reject(approval_request.pk, digest=approval_request.digest, comment="the committee is there")
    assert world.fresh(approval_request).state == "rejected"
    assert (world.fresh(first).state, Procedure.objects.get(version="9.0.0").state) == ("retired", "in_effect")


def test_a_request_for_a_return_is_withdrawn(world: Any, first: Procedure, browsers: Any) -> None:
    address = reverse("admin:releases_procedure_change", args=[first.pk])
    button = "operation/procedure/withdraw_restore/"
    assert button not in browsers("administrator").get(address).content.decode()
    approval_request = requested(world, first)
    assert button in browsers("administrator").get(address).content.decode()
    with world.acting_as("auditor"), pytest.raises(NotPermitted):
        withdraw(first.pk, reason="not mine")
    with world.acting_as("second_administrator"):
        withdraw(first.pk, reason="the committee is there again")
    assert (world.fresh(approval_request).state, world.fresh(first).state) == ("withdrawn", "retired")
    with world.acting_as("administrator"), pytest.raises(NotPossible, match="no open request"):
        withdraw(first.pk, reason="again")


def test_environments_that_only_the_later_version_named_stay_without_access(world: Any) -> None:
    earlier = Procedure.objects.get(state="in_effect")
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = "9.0.0", "9.0.0"
    for row in raw["environments"][1:]:
        row["order"] += 1
    raw["environments"].insert(1, raw["environments"][0] | {"key": "sandbox", "order": 2})
    for name in ("accepted_branches", "access"):
        raw[name] += [cell | {"environment": "sandbox"} for cell in raw[name] if cell["environment"] == "development"]
    in_effect(world, Content.checked(raw), office="")
    assert AccessRule.objects.filter(environment__slug="sandbox").exclude(level="none").exists()
    approval_request = requested(world, world.fresh(earlier))
    for name in ("second_administrator", "auditor"):
        approve(world, approval_request, name)
    orders = dict(Environment.objects.values_list("slug", "order"))
    assert orders == {"development": 1, "staging": 2, "production": 3, "sandbox": 4}
    assert not AccessRule.objects.filter(environment__slug="sandbox").exclude(level="none").exists()


def test_an_open_request_for_a_return_holds_up_no_new_version(world: Any, first: Procedure) -> None:
    approval_request = requested(world, first)
    in_effect(world, Content.checked(bank().model_dump(mode="json") | version("9.1.0")), office="")
    assert world.fresh(approval_request).state == "invalidated"
    assert (world.fresh(first).state, Procedure.objects.get(state="in_effect").version) == ("retired", "9.1.0")


def version(number: str) -> dict[str, Any]:
    """The version of a document, with its history."""
    history = default().model_dump(mode="json")["history"]
    history[-1]["version"] = number
    return {"version": number, "history": history}
