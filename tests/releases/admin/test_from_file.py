"""Rows from a file: every line is checked before anything is made, and each is an operation of its own."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from audit.models import Event
from environments.models import AccessGrant, Account, Application, DeploymentTarget, RequestedChange

ACCOUNTS = "/admin/operation/account/create/from-file/"


def upload(browser: Any, address: str, text: str | bytes) -> Any:
    """Upload a file and return the answer."""
    content = text.encode() if isinstance(text, str) else text
    return browser.post(address, {"file": io.BytesIO(content)})


def test_people_with_roles_come_from_a_file(people: dict[str, Any], browsers: Any) -> None:
    """Each becomes an account with its roles and a link; deciding roles wait until the person has enrolled."""
    browser = browsers("administrator")
    text = (
        "username,display_name,kind,roles,invite,language,reason\n"
        "sato,佐藤 花子,person,developer;committee,yes,ja,new team\n"
        '"kim","Kim, J.",person,auditor,,en,new team\n'
    )
    checked = upload(browser, ACCOUNTS, "\ufeff" + text)
    assert checked.status_code == 200, [line.faults for line in checked.context["lines"]]
    assert not Account.objects.filter(username="sato").exists()
    done = browser.post(ACCOUNTS, {"content": checked.context["content"], "confirmed": "1"})
    assert done.status_code == 200 and "no-store" in done["Cache-Control"]
    sato, kim = (Account.objects.get(username=name) for name in ("sato", "kim"))
    grants = {grant.role_id: grant.confirmed_at is not None for grant in AccessGrant.objects.filter(account=sato)}
    assert grants == {"developer": True, "committee": False}
    assert kim.display_name == "Kim, J." and kim.language == "en" and not kim.invitation
    assert sato.invitation and done.text.count("/invitation/") == 1
    events = Event.objects.filter(operation="account:create", kind="operation", outcome="done").order_by("-pk")[:2]
    assert [json.loads(bytes(event.bytes))["after"]["roles"] for event in events] == [
        ["auditor"],
        ["developer", "committee"],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("username,kind\nsato,person\n", "display_name: This field is required."),
        ("username,display_name,kind\nsato,Sato,robot\n", "kind: Select a valid choice"),
        ("username,display_name,kind,roles\nsato,Sato,person,king\n", "roles: Select a valid choice"),
        ("username,nonsense\nsato,1\n", "Unknown or repeated columns: nonsense"),
        ("username,username\nsato,1\n", "Unknown or repeated columns: username"),
        ("username,display_name,kind\nsato,Sato\n", "Line 2: another number of cells than columns."),
        ("username,display_name,kind\n", "1 to 1000 lines"),
        ('username,display_name,kind\n"sato,Sato,person\n', "Line 2: unexpected end of data"),
        (b"\xff\xfe", "not UTF-8"),
        ("username\n\n", "1 to 1000 lines"),
    ],
)
def test_a_faulty_file_makes_nothing(people: dict[str, Any], browsers: Any, text: str | bytes, said: str) -> None:
    before = Account.objects.count()
    answer = upload(browsers("administrator"), ACCOUNTS, text)
    assert answer.status_code == 400 and said in answer.text, answer.text
    sent = browsers("administrator").post(ACCOUNTS, {"content": text, "confirmed": "1"})
    assert sent.status_code == 400 and Account.objects.count() == before


def test_a_refused_line_is_named_and_the_others_are_made(people: dict[str, Any], browsers: Any) -> None:
    text = "username,display_name,kind\nsato,Sato,person\ndeveloper,Twin,person\nkim,Kim,person\n"
    answer = browsers("administrator").post(ACCOUNTS, {"content": text, "confirmed": "1"})
    assert "There is already an account “developer”." in answer.text, [line.faults for line in answer.context["lines"]]
    assert Account.objects.filter(username__in=["sato", "kim"]).count() == 2


def test_only_who_may_do_the_operation_sees_the_page(people: dict[str, Any], browsers: Any) -> None:
    before = Account.objects.count()
    for send in (
        lambda browser: browser.get(ACCOUNTS),
        lambda browser: browser.post(
            ACCOUNTS, {"content": "username,display_name,kind\nx,X,person\n", "confirmed": "1"}
        ),
    ):
        assert send(browsers("manager")).status_code == 403
    assert Account.objects.count() == before
    assert browsers("administrator").get("/admin/operation/account/edit/from-file/").status_code == 404
    columns = browsers("administrator").get(f"{ACCOUNTS}?columns=1")
    assert columns.text.startswith("username,kind,display_name,")


def test_the_proof_of_identity_is_asked_once_before_anything_is_made(people: dict[str, Any], browsers: Any) -> None:
    from environments.actors import SIGNED_AT

    browser = browsers("administrator")
    session = browser.session
    session["account_authentication_methods"] = [{"method": "password", "at": 1.0}]
    session.pop(SIGNED_AT, None)
    session.save()
    answer = browser.post(ACCOUNTS, {"content": "username,display_name,kind\nsato,Sato,person\n", "confirmed": "1"})
    assert answer.status_code == 302 and "reauthenticate" in answer["Location"], answer.context["lines"]
    assert not Account.objects.filter(username="sato").exists()


def test_applications_and_targets_name_others_by_their_keys(world: Any, browsers: Any, tmp_path: Any) -> None:
    """Of a protected environment a target waits for the second person, as from the form."""
    (tmp_path / "one").mkdir()
    answer = browsers("manager").post(
        "/admin/operation/application/create/from-file/",
        {"content": f"slug,name,repository\nwiki,Wiki,{tmp_path}/one\n", "confirmed": "1"},
    )
    assert Application.objects.filter(slug="wiki").exists(), answer.text
    text = "application_id,environment_id,root,group\nwiki,development,/srv/wiki,web\nwiki,production,/srv/wiki-p,web\n"
    sent = {"content": text, "confirmed": "1"}
    answer = browsers("operator").post("/admin/operation/target/create/from-file/", sent)
    made = DeploymentTarget.objects.get(application__slug="wiki")
    assert (made.environment.slug, made.group) == ("development", "web"), answer.text
    assert RequestedChange.objects.get(event="target:create", application__slug="wiki").after["root"] == "/srv/wiki-p"
    wrong = browsers("operator").post(
        "/admin/operation/target/create/from-file/", {"content": text.replace("wiki,", "vicki,"), "confirmed": "1"}
    )
    assert wrong.status_code == 400 and "application_id: there is no “vicki”." in wrong.text
