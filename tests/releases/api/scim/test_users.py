"""What SCIM does to accounts: joiners without any right, leavers at once, and no other account at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.models import Event
from environments import access
from environments.models import Account, Token
from environments.operations.access.grant import request_role
from environments.operations.account.deactivate import reactivate
from environments.operations.account.provision import hand_over
from environments.operations.token.issue import issue_token
from tests.releases.api.scim.conftest import ask, enrol, patch
from tests.releases.gates.asking import alter


def events(operation: str) -> list[Event]:
    return list(Event.objects.filter(operation=operation, kind="operation"))


def count() -> int:
    return Event.objects.count()


def test_a_token_needs_the_role_that_a_second_administrator_has_confirmed(
    unconfirmed: tuple[Any, str], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    answer = ask("GET", "/Users", token=unconfirmed[1])
    assert answer.status_code == 403 and answer.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    with acting_as("administrator"):
        _token, of_ci = issue_token(people["ci"].pk)
    for secret in (None, "ringi_wrong", of_ci):
        answer = ask("GET", "/Users", token=secret)
        assert answer.status_code == 401 and answer.json()["status"] == "401", secret
        assert answer["WWW-Authenticate"] == "Bearer" and answer["Content-Type"] == "application/scim+json"


def test_a_token_for_provisioning_is_good_for_nothing_else(
    token: str, people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    from tests.releases.api.conftest import ask as ask_api

    for path in ("/permissions?permission=read", "/releases", "/openapi.json"):
        assert ask_api("get", path, token=token).status_code == 401, path
    for name, role in (("directory", "ci"), ("ci", "provisioning")):
        account = Account.objects.get(username=name)
        with acting_as("administrator"), pytest.raises(Exception, match="either the role CI or"):
            request_role(account.pk, role=role, reason="both")
    with acting_as("administrator"), pytest.raises(Exception, match="Only a service account"):
        request_role(people["outsider"].pk, role="provisioning", reason="a person")


def test_a_joiner_has_an_account_without_any_right(joined: Callable[..., Any], scim: Callable[..., Any]) -> None:
    made = joined("hanako@example.jp", emails=[{"value": "hanako@example.jp", "type": "work", "primary": True}])
    account = Account.objects.get(pk=int(made["id"]))
    assert (account.username, account.display_name) == ("hanako@example.jp", "Hanako@Example.Jp")
    assert (account.email, account.language, account.external_id) == ("hanako@example.jp", "ja", "id-hanako@example.jp")
    assert not account.has_usable_password() and not account.grants.exists() and account.enrolled_at is None
    assert made["active"] is True and made["meta"]["location"].endswith(f"/scim/v2/Users/{account.pk}")
    (event,) = events("account:provision")
    assert event.actor.startswith("service:") and event.actor.endswith(":Directory") and event.channel == "api"
    for name in ("HANAKO@example.jp", "other"):
        mail = {"emails": [{"value": "Hanako@example.jp"}]} if name == "other" else {}
        body = {"schemas": made["schemas"], "userName": name, **mail}
        assert scim("POST", "/Users", body, status=409)["scimType"] == "uniqueness"


def test_the_language_and_the_name_are_as_the_client_says(joined: Callable[..., Any]) -> None:
    assert joined("a", preferredLanguage="en-US")["preferredLanguage"] == "en"
    assert joined("b", preferredLanguage="fr")["preferredLanguage"] == "ja"
    assert joined("c", displayName=None, name={"givenName": "Hana", "familyName": "Sato"})["displayName"] == "Hana Sato"


def test_no_account_is_reached_that_the_client_did_not_make(
    scim: Callable[..., Any], joined: Callable[..., Any], people: dict[str, Any]
) -> None:
    listed = scim("GET", "/Users")
    assert listed["totalResults"] == 0
    for name in ("administrator", "outsider", "ci"):
        path = f"/Users/{people[name].pk}"
        scim("GET", path, status=404)
        scim("PATCH", path, patch({"op": "replace", "path": "active", "value": False}), status=404)
        scim("PUT", path, {"schemas": [], "userName": name}, status=404)
        scim("DELETE", path, status=404)
        answer = scim("POST", "/Users", {"schemas": joined(f"new-{name}")["schemas"], "userName": name}, status=409)
        assert answer["scimType"] == "uniqueness"
        assert scim("GET", "/Users", {"filter": f'userName eq "{name}"'})["totalResults"] == 0
    kept = joined("kept")
    alter(Account.objects.get(pk=int(kept["id"])), break_glass=True)
    scim("DELETE", f"/Users/{kept['id']}", status=404)
    assert Account.objects.get(pk=int(kept["id"])).is_active


def test_a_leaver_loses_everything_at_once(
    scim: Callable[..., Any], joined: Callable[..., Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    made = joined("leaver")
    account = enrol(made)
    with acting_as("administrator"):
        request_role(account.pk, role="developer", reason="team")
    assert access.may(account, "read")
    body = patch({"op": "Replace", "path": "active", "value": "False"})
    assert scim("PATCH", f"/Users/{made['id']}", body)["active"] is False
    account.refresh_from_db()
    assert not account.is_active and not access.may(account, "read") and not account.grants.filter(revoked_at=None)
    (event,) = events("account:deactivate")
    assert event.actor.endswith(":Directory") and event.object == f"environments.Account:{account.pk}"
    before = count()
    scim("PATCH", f"/Users/{made['id']}", body)
    assert count() == before, "the same again writes nothing"
    back = scim("PATCH", f"/Users/{made['id']}", patch({"op": "replace", "value": {"active": True}}), status=409)
    assert "An administrator reactivates it" in back["detail"]
    with acting_as("administrator"):
        reactivate(account.pk, reason="came back")
    assert scim("PATCH", f"/Users/{made['id']}", patch({"op": "replace", "value": {"active": True}}))["active"] is True
    assert not access.roles_anywhere(account)


@pytest.mark.parametrize(
    "refused", [{"emails": [{"value": "stays@x.jp"}]}, {"userName": "stays"}, {"externalId": "another"}]
)
def test_a_leaver_loses_access_also_where_the_rest_is_refused(
    scim: Callable[..., Any], joined: Callable[..., Any], refused: dict[str, Any]
) -> None:
    joined("stays", emails=[{"value": "stays@x.jp"}])
    made = joined("leaver")
    account = enrol(made)
    scim("PUT", f"/Users/{made['id']}", made | refused | {"active": False}, status=409)
    account.refresh_from_db()
    assert not account.is_active and account.username == "leaver"


def test_a_sign_in_name_is_of_one_account_for_good(scim: Callable[..., Any], joined: Callable[..., Any]) -> None:
    renamed, other = joined("hanako"), joined("mallory")
    scim("PATCH", f"/Users/{renamed['id']}", patch({"op": "replace", "path": "userName", "value": "sato"}))
    take = patch({"op": "replace", "path": "userName", "value": "Hanako"})
    body = scim("PATCH", f"/Users/{other['id']}", take, status=409)
    assert body["scimType"] == "uniqueness" and "was the sign-in name of another account" in body["detail"]
    body = scim("POST", "/Users", {"schemas": renamed["schemas"], "userName": "hanako"}, status=409)
    assert body["scimType"] == "uniqueness"
    back = patch({"op": "replace", "path": "userName", "value": "hanako"})
    assert scim("PATCH", f"/Users/{renamed['id']}", back)["userName"] == "hanako"


def test_delete_deactivates_and_keeps_the_row(scim: Callable[..., Any], joined: Callable[..., Any]) -> None:
    made = joined("gone")
    group = scim("POST", "/Groups", group_of("team", made["id"]), status=201)
    scim("DELETE", f"/Users/{made['id']}", status=204)
    account = Account.objects.get(pk=int(made["id"]))
    assert not account.is_active and not account.provisioned
    scim("GET", f"/Users/{made['id']}", status=404)
    assert "members" not in scim("GET", f"/Groups/{group['id']}")
    again = scim("POST", "/Users", {"schemas": made["schemas"], "userName": "gone"}, status=409)
    assert again["scimType"] == "uniqueness"


def group_of(name: str, *members: str) -> Any:
    from tests.releases.api.scim.conftest import GROUP

    return {"schemas": [GROUP], "displayName": name, "members": [{"value": one} for one in members]}


@pytest.mark.parametrize(
    ("operation", "column", "value"),
    [
        ({"op": "Replace", "path": "displayName", "value": "Sato Hanako"}, "display_name", "Sato Hanako"),
        ({"op": "Add", "path": 'emails[type eq "work"].value', "value": "n@x.jp"}, "email", "n@x.jp"),
        ({"op": "replace", "value": {'emails[type eq "work"].value': "n@x.jp"}}, "email", "n@x.jp"),
        ({"op": "Add", "value": {"preferredLanguage": "en", "name.givenName": "x"}}, "language", "en"),
        ({"op": "replace", "value": {"id": "7", "userName": "renamed"}}, "username", "renamed"),
        ({"op": "replace", "path": "active", "value": "False"}, "is_active", False),
        ({"op": "replace", "value": {"active": "False"}}, "is_active", False),
        ({"op": "Remove", "path": "externalId"}, "external_id", ""),
    ],
)
def test_the_dialects_of_a_change(
    scim: Callable[..., Any], joined: Callable[..., Any], operation: Any, column: str, value: Any
) -> None:
    made = joined("mover")
    scim("PATCH", f"/Users/{made['id']}", patch(operation))
    assert getattr(Account.objects.get(pk=int(made["id"])), column) == value
    before = count()
    scim("PATCH", f"/Users/{made['id']}", patch(operation))
    assert count() == before, "the same again writes nothing"


def test_the_same_put_writes_nothing(scim: Callable[..., Any], joined: Callable[..., Any]) -> None:
    made = joined("same", emails=[{"value": "s@x.jp"}])
    before = count()
    assert scim("PUT", f"/Users/{made['id']}", made) == made
    short = {"schemas": made["schemas"], "userName": "same", "emails": [{"value": "s@x.jp"}]}
    assert scim("PUT", f"/Users/{made['id']}", short) == made
    assert count() == before


def test_lists_are_filtered_and_paged(scim: Callable[..., Any], joined: Callable[..., Any]) -> None:
    first, second = joined("one"), joined("two")
    found = scim("GET", "/Users", {"filter": 'userName eq "ONE" and externalId eq "id-one"'})
    assert [one["id"] for one in found["Resources"]] == [first["id"]]
    for query in (f'id eq "{second["id"]}"', 'displayName eq "Two"'):
        assert scim("GET", "/Users", {"filter": query})["Resources"][0]["userName"] == "two", query
    page = scim("GET", "/Users", {"startIndex": 2, "count": 1})
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (2, 2, 1)
    behind = scim("GET", "/Users", {"startIndex": 10**20})
    assert (behind["totalResults"], behind["itemsPerPage"]) == (2, 0)
    assert scim("GET", "/Users", {"filter": 'externalId eq "ID-ONE"'})["totalResults"] == 0
    for query in ('userName co "o"', 'not (userName eq "one")', "userName eq", 'password eq "x"', "title pr"):
        assert scim("GET", "/Users", {"filter": query}, status=400)["scimType"] == "invalidFilter", query


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([], "invalidSyntax"),
        ({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}, "invalidValue"),
        ({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "a b"}, "invalidValue"),
        ({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x" * 200}, "invalidValue"),
        (
            {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x", "displayName": "\0"},
            "invalidValue",
        ),
        (
            {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x", "emails": [{"value": "x"}]},
            "invalidValue",
        ),
    ],
)
def test_a_wrong_user_is_refused(scim: Callable[..., Any], body: Any, kind: str) -> None:
    assert scim("POST", "/Users", body, status=400)["scimType"] == kind


def test_the_external_id_stays_once_the_person_has_enrolled(
    scim: Callable[..., Any], joined: Callable[..., Any]
) -> None:
    made = joined("early")
    change = patch({"op": "replace", "path": "externalId", "value": "other"})
    assert scim("PATCH", f"/Users/{made['id']}", change)["externalId"] == "other"
    enrol(made)
    scim("PATCH", f"/Users/{made['id']}", change)
    scim("PATCH", f"/Users/{made['id']}", patch({"op": "replace", "path": "externalId", "value": "mine"}), status=409)
    joined("another")
    taken = patch({"op": "replace", "path": "externalId", "value": "other"})
    body = scim("PATCH", f"/Users/{joined('third')['id']}", taken, status=409)
    assert body["scimType"] == "uniqueness"


def test_an_administrator_hands_over_an_account(
    scim: Callable[..., Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    with acting_as("administrator"):
        for name in ("administrator", "ci"):
            with pytest.raises(Exception, match="hand"):
                hand_over(people[name].pk, external_id="x", reason="all of us")
        hand_over(people["developer"].pk, external_id="dev-1", reason="all of us")
        with pytest.raises(Exception, match="external ID"):
            hand_over(people["tester"].pk, external_id="dev-1", reason="all of us")
    assert access.roles_anywhere(people["developer"])
    (found,) = scim("GET", "/Users", {"filter": 'externalId eq "dev-1"'})["Resources"]
    scim("DELETE", f"/Users/{found['id']}", status=204)
    assert not Account.objects.get(pk=people["developer"].pk).is_active


def test_calls_are_counted(scim: Callable[..., Any], token: str, settings: Any) -> None:
    settings.API_RATE_LIMIT = "1/h"
    answers = [ask("GET", "/Users", token=token) for _call in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1]["Retry-After"] and answers[1].json()["status"] == "429"


def test_the_end_of_the_token_ends_the_calls(scim: Callable[..., Any], acting_as: Callable[..., Any]) -> None:
    from environments.operations.token.issue import revoke

    with acting_as("administrator"):
        revoke(Token.objects.get(account__username="directory").pk, reason="replaced")
    scim("GET", "/Users", status=401)
