"""An erasure parts no person from what keeps them from approving, and nothing writes its values back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from audit.refusals import NotPossible
from environments.models import Account, RequestedChange
from environments.operations.account import deactivate as accounts
from environments.operations.account.edit import edit
from releases.gates import authorship
from releases.operations.erasure import erase
from releases.operations.release.prepare import cancel
from releases.queries.personal_data import figures
from tests.audit.reconciliation.test_nightly import compared
from tests.conftest import seconded
from tests.releases.api.scim.conftest import GROUP, joined, scim, token, unconfirmed
from tests.releases.conftest import World
from tests.releases.gates.asking import alter, make
from tests.releases.leaving import erased, leaver

__all__ = ["joined", "leaver", "scim", "token", "unconfirmed"]


def _left(account: Account, acting_as: Callable[..., Any], **edited: Any) -> Account:
    """Let two administrators edit who a person is, and deactivate the account."""
    given = {"git_addresses": tuple(account.git_addresses), "employee_id": account.employee_id} | edited
    with acting_as("administrator"):
        asked = edit(account.pk, display_name=account.display_name, reason="wrong number", **given)
    seconded(asked, acting_as, "second_administrator")
    with acting_as("administrator"):
        accounts.deactivate(account.pk, reason="left")
    return Account.objects.get(pk=account.pk)


def test_one_person_stays_one_after_an_erasure(
    world: World, people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """Of the author's two accounts the one that knows of the other is erased; the other stays the author's."""
    release, _request = world.approved()
    for name in ("author_on_committee", "committee_a"):
        alter(people[name], employee_id="4711")
    author = _left(people["author_on_committee"], acting_as, employee_id="9")
    other = Account.objects.get(pk=people["committee_a"].pk)
    assert author.former_identities == ["employee:4711"] and other.is_among(authorship.excluded(release))
    with acting_as("administrator"), pytest.raises(NotPossible, match="duty in .* the author of what is approved"):
        erase.request_erasure(author.pk, reason="x")
    with acting_as("manager"):
        cancel(release.pk, reason="x")
    shown = dict(figures(author))["employee IDs kept after an erasure"]
    author = erased(author, acting_as)
    assert shown == "9, 4711"
    assert (author.former_identities, author.kept_identities) == ([], ["employee:4711"])
    assert other.is_among(authorship.excluded(world.fresh(release)))
    assert author.accounts == Account.objects.get(pk=other.pk).accounts == {author.pk, other.pk}
    assert compared()["unexplained"] == 0


def test_a_kept_key_connects_two_accounts_of_others(world: World, people: dict[str, Any]) -> None:
    """An erased account was one person with each of two, which know nothing of each other."""
    release = world.planned()
    for name, number in (("author_on_committee", "1"), ("committee_a", "2")):
        alter(people[name], employee_id=number)
    assert not Account.objects.get(username="committee_a").is_among(authorship.excluded(release))
    alter(people["outsider"], employee_id="3", kept_identities=["employee:1", "employee:2"])
    assert Account.objects.get(username="committee_a").is_among(authorship.excluded(world.fresh(release)))


def test_a_git_address_stays_while_a_release_with_its_commits_is_under_way(
    world: World, leaver: Account, acting_as: Callable[..., Any]
) -> None:
    with acting_as("administrator"):
        erase.request_erasure(leaver.pk, reason="x")
    release, _request = world.submitted()
    alter(leaver, former_identities=["developer@datasets.example"])
    with acting_as("second_administrator"), pytest.raises(NotPossible, match="the author of one of its commits"):
        erase.confirm_erasure(leaver.pk)
    with acting_as("manager"):
        cancel(release.pk, reason="x")
    with acting_as("second_administrator"):
        erase.confirm_erasure(leaver.pk)
    assert Account.objects.get(pk=leaver.pk).kept_identities == []


def test_the_provider_writes_nothing_back(
    joined: Callable[..., Any], scim: Callable[..., Any], acting_as: Callable[..., Any]
) -> None:
    made = joined("hanako@example.jp", emails=[{"value": "hanako@example.jp", "type": "work"}])
    scim("POST", "/Groups", {"schemas": [GROUP], "displayName": "x", "members": [{"value": made["id"]}]}, status=201)
    scim("PUT", f"/Users/{made['id']}", made | {"active": False})
    account = erased(Account.objects.get(pk=int(made["id"])), acting_as)
    assert (account.email, account.external_id, account.provisioned_groups.count()) == ("", "", 0)
    scim("PUT", f"/Users/{made['id']}", made | {"active": False}, status=404)
    scim("POST", "/Users", {name: made[name] for name in ("schemas", "userName", "displayName")}, status=409)
    assert Account.objects.get(pk=account.pk).email == ""


def test_an_account_without_values_of_its_own_leaves_the_provider_as_well(
    joined: Callable[..., Any], scim: Callable[..., Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    made = joined("taro@example.jp")
    scim("PUT", f"/Users/{made['id']}", made | {"active": False})
    account = Account.objects.get(pk=int(made["id"]))
    alter(account, email="", telephone="", affiliation="", job_title="", first_name="", last_name="")
    values = {"before": {"telephone": "1"}, "after": {"telephone": "2"}, "decided_at": datetime.now(UTC)}
    asked = {"event": "account:edit", "reason": "x", "requested_by": people["administrator"]}
    make(RequestedChange, account=account, **values, **asked)
    account = erased(account, acting_as)
    assert (account.provisioned, account.external_id) == (False, "")
    scim("PUT", f"/Users/{made['id']}", made | {"active": False}, status=404)
