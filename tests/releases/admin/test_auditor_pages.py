"""The auditor's pages: they find any event, show any past state, and record every use."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from audit import search
from audit.actor import acting
from audit.clock import now
from audit.ledger.link import link_pending
from audit.models import Event, LedgerHead
from audit.operation import operation
from audit.search import Wanted, count, look
from environments.access_as_of import AccessAsOf
from environments.models import DeploymentTarget, Environment
from environments.operations.access.grant import confirm, request_role
from environments.operations.delegation import request
from releases.admin.pages.access_report.page import capabilities, could, uses
from releases.reporting.evidence_pack import scope
from tests.conftest import enrolled, sign_ledger
from tests.releases.gates.asking import COMMAND, make


@pytest.fixture
def auditor(world: dict[str, Any], browsers: Callable[[str], Any]) -> Any:
    """The auditor before the pages."""
    return browsers("auditor")


def numbers(**wanted: Any) -> list[int]:
    link_pending(connection)
    return [event.ledger_entry.number for event in look(Wanted(**wanted), 1000).events]


def everything(keep: Callable[[Event, dict[str, Any]], bool]) -> list[int]:
    """Return the numbers of the events that a test keeps, by reading each event."""
    link_pending(connection)
    events = Event.objects.select_related("ledger_entry").order_by("-ledger_entry__number")
    return [event.ledger_entry.number for event in events if keep(event, event.contents)]


def test_each_filter_finds_the_same_events_as_a_full_scan(world: dict[str, Any], people: dict[str, Any]) -> None:
    manager, middle = people["manager"].pk, Event.objects.order_by("at")[300].at
    cases: dict[str, tuple[dict[str, Any], Callable[[Event, dict[str, Any]], bool]]] = {
        "account": ({"account_id": manager}, lambda e, c: e.actor.split(":")[1] == str(manager)),
        "operation": ({"operation": "approval:approve"}, lambda e, c: e.operation == "approval:approve"),
        "outcome": ({"outcome": "deleted"}, lambda e, c: e.outcome == "deleted"),
        "kind": ({"kind": "operation"}, lambda e, c: e.kind == "operation"),
        "model": ({"model": "releases.Step"}, lambda e, c: e.object.startswith("releases.Step:")),
        "period": (
            {"since": middle, "until": middle + timedelta(seconds=2)},
            lambda e, c: middle <= e.at < middle + timedelta(seconds=2),
        ),
        "address": ({"address": "127.0.0.1"}, lambda e, c: c["request"]["address"] == "127.0.0.1"),
        "words": ({"words": "ﾒﾀﾃﾞｰﾀ 検索"}, lambda e, c: "メタデータ検索" in bytes(e.bytes).decode()),
        "two": (
            {"account_id": manager, "operation": "release:plan", "kind": "row"},
            lambda e, c: (e.actor.split(":")[1], e.operation, e.kind) == (str(manager), "release:plan", "row"),
        ),
    }
    for name, (wanted, keep) in cases.items():
        expected = everything(keep)
        assert sorted(numbers(**wanted)) == sorted(expected), name
        assert count(Wanted(**wanted)) == len(expected), name
        assert expected or name == "outcome", name


def test_pages_follow_without_gap_or_duplicate(world: dict[str, Any], people: dict[str, Any]) -> None:
    for wanted in (Wanted(), Wanted(account_id=people["manager"].pk), Wanted(words="a"), Wanted(kind="row")):
        whole = [event.pk for event in look(wanted, 5000).events]
        pages, before = [], None
        while True:
            page = look(wanted, 37, before)
            pages += [event.pk for event in page.events]
            before = page.older
            if before is None:
                break
        assert pages == whole and len(set(pages)) == len(pages)


def test_a_search_stops_after_a_fixed_number_of_events_and_continues(
    world: dict[str, Any], auditor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However rare a word is, a page reads SCAN events at most and says where it stopped; the next one continues."""
    whole = numbers(words="needle-in-no-stack")
    assert whole == []
    monkeypatch.setattr(search, "SCAN", 100)
    seen, before, pages = [], None, 0
    while True:
        page = look(Wanted(words="1.3.0"), 10, before)
        seen += [event.ledger_entry.number for event in page.events]
        before, pages = page.older, pages + 1
        if before is None:
            break
    monkeypatch.setattr(search, "SCAN", 200_000)
    assert seen == numbers(words="1.3.0") and pages > 3
    monkeypatch.setattr(search, "SCAN", 100)
    html = auditor.get(reverse("timeline"), {"words": "needle-in-no-stack"}).content.decode()
    assert "The search went back to" in html and "Look further back" in html


def test_a_release_and_an_environment_show_all_related_events(world: dict[str, Any]) -> None:
    release, running = world["review"], world["running"]
    found = {e.object for e in look(Wanted(objects=scope.of_release(release.pk)), 5000).events}
    assert {f"releases.Release:{release.pk}", f"releases.Deployment:{running.pk}"} <= found
    assert {f"releases.Step:{s.pk}" for s in running.steps.all()} <= found
    assert {
        f"releases.ApprovalDecision:{a.pk}" for r in release.approval_requests.all() for a in r.decisions.all()
    } <= found
    assert f"releases.Release:{world['draft'].pk}" not in found
    there = {e.object for e in look(Wanted(within=(scope.in_environment(running.environment_id),)), 5000).events}
    assert f"releases.Deployment:{running.pk}" in there and f"releases.Deployment:{world['back'].pk}" not in there


def test_counts_are_calculated_on_request_only(auditor: Any) -> None:
    address = reverse("timeline")
    plain = auditor.get(address, {"kind": "operation"}).content.decode()
    assert "Count all that fit" in plain and "Events that fit" not in plain
    asked = auditor.get(address, {"kind": "operation", "count": "1"}).content.decode()
    assert f"Events that fit: {count(Wanted(kind='operation'))}" in asked


def test_odd_queries_cause_no_error(auditor: Any) -> None:
    odd = {
        "account": "x",
        "since": "0000-00-00",
        "until": "9999-12-31",
        "words": "\\ ( [ %",
        "object": ":",
        "before": "-1",
    }
    assert auditor.get(reverse("timeline"), {"before": str(uuid.uuid4())}).status_code == 200
    assert auditor.get(reverse("timeline"), odd).status_code == 200
    assert (
        auditor.get(reverse("as-of"), {"object": "releases.Release:zzz", "at": "9999-12-31T23:59:59"}).status_code
        == 200
    )
    assert auditor.get(reverse("as-of"), {"object": "x:1", "kind": "y", "at": "?"}).status_code == 200
    assert auditor.get(reverse("access-report"), {"at": "x", "environment": "99", "days": "100000"}).status_code == 200
    assert auditor.get(reverse("event", args=[10**9])).status_code == 404
    assert auditor.get(reverse("event", args=[10**20])).status_code == 404


def test_each_event_has_a_page(world: dict[str, Any], auditor: Any) -> None:
    """Difference, reason, signature, and the other events of the operation."""
    link_pending(connection)
    approved = Event.objects.get(operation="approval:approve", kind="operation")
    html = auditor.get(reverse("event", args=[approved.ledger_entry.number])).content.decode()
    assert "内容を確認した" in html and "Committee A" in html and "releases.ApprovalDecision:" in html
    edited = Event.objects.filter(operation="release:edit", kind="row", object__startswith="releases.Release:").first()
    assert edited is not None
    html = auditor.get(reverse("event", args=[edited.ledger_entry.number])).content.decode()
    assert "security impact" in html and "No checkpoint covers this event yet" in html
    head = LedgerHead.objects.get()
    assert auditor.get(reverse("event", args=[head.number])).status_code == 200


def test_the_proof_of_an_event_leads_to_the_signed_root(world: dict[str, Any], auditor: Any, tmp_path: Any) -> None:
    import base64

    from audit.ledger.checkpoint import LedgerSigner
    from audit.ledger.note import read
    from audit.ledger.proof import leaf_hash, verify_inclusion

    signer = LedgerSigner(tmp_path / "ledger_signer")
    sign_ledger(signer)
    for number in (1, 17, LedgerHead.objects.get().number):
        proof = auditor.get(reverse("event", args=[number]), {"proof": "1"}).json()
        claim = read(proof["checkpoint"], signer.public)
        leaf = leaf_hash(base64.b64decode(proof["event"]))
        assert verify_inclusion(leaf, number - 1, claim.size, [bytes.fromhex(n) for n in proof["path"]], claim.root)


def test_hidden_values_stay_hidden_in_past_states(
    world: dict[str, Any], browsers: Callable[[str], Any], auditor: Any, people: dict[str, Any]
) -> None:
    """The page of a target and of a configuration is closed to a tester; so are their events and past states."""
    target = DeploymentTarget.objects.filter(environment__tier="production").earliest("pk")
    label = f"environments.DeploymentTarget:{target.pk}"
    link_pending(connection)
    row = Event.objects.filter(object=label, kind="row").select_related("ledger_entry").earliest("at")
    root = row.contents["after"]["root"]
    hidden = browsers("tester")
    event, past = reverse("event", args=[row.ledger_entry.number]), reverse("as-of")
    for address, asked in ((event, {}), (event, {"proof": "1"}), (past, {"object": row.object})):
        assert hidden.get(address, asked).status_code == 403, address
    for address, asked in (
        (reverse("timeline"), {"object": row.object}),
        (past, {"kind": "environments.DeploymentTarget"}),
    ):
        assert root not in hidden.get(address, asked).content.decode()
    assert root in auditor.get(past, {"object": row.object}).content.decode()
    assert root in auditor.get(reverse("timeline"), {"object": row.object}).content.decode()


def test_invalid_times_are_no_filter(world: dict[str, Any], auditor: Any) -> None:
    for since in ("1960-01-01", "0001-01-01", "9999-12-31", "1900-01-01T00:00:00+00:00", "x"):
        for name in ("timeline", "access-report", "as-of"):
            assert auditor.get(reverse(name), {"since": since, "until": since, "at": since}).status_code == 200, since


def test_a_row_is_shown_as_of_a_past_time(world: dict[str, Any], auditor: Any) -> None:
    label = f"releases.Release:{world['draft'].pk}"
    first = Event.objects.filter(object=label, kind="row").order_by("at")[0]
    html = auditor.get(reverse("as-of"), {"object": label, "at": first.at.isoformat()}).content.decode()
    assert "重複登録の修正" in html and "利用部門の要望" not in html
    assert "利用部門の要望" in auditor.get(reverse("as-of"), {"object": label}).content.decode()
    before = (first.at - timedelta(seconds=1)).isoformat()
    then = auditor.get(reverse("as-of"), {"object": label, "at": before}).content.decode()
    assert "The row did not exist at that moment" in then
    listed = auditor.get(reverse("as-of"), {"kind": "releases.Release"}).content.decode()
    assert label in listed


def test_the_access_report_lists_rights_and_uses(world: dict[str, Any], auditor: Any, people: dict[str, Any]) -> None:
    html = auditor.get(reverse("access-report")).content.decode()
    assert "Committee A" in html and "Operations without permission" not in html
    production = Environment.objects.get(slug="production")
    done, more = uses(AccessAsOf(), production, now() - timedelta(days=1), now())
    assert not more
    approved = [use for use in done if use.happening.operation == "approval:approve"]
    assert [(use.capability.key, use.allowed) for use in approved] == [("approve", True)]
    # Only the command that made the accounts acted without an account.
    odd = [use for use in done if use.happening.outcome == "done" and use.allowed is not True]
    assert {(use.allowed, use.happening.actor_label) for use in odd} == {(None, "command:tests")}


def test_the_export_of_uses_leaves_none_out(
    world: dict[str, Any], auditor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows the latest ones and says so; a table has no place to say it."""
    asked = {"environment": Environment.objects.get(slug="production").pk}
    export = asked | {"take": "did"}

    def rows() -> list[bytes]:
        lines = b"".join(auditor.get(reverse("access-report"), export).streaming_content).splitlines()
        return [line for line in lines if b"audit:" not in line]

    whole = rows()
    monkeypatch.setattr("releases.admin.pages.access_report.page.MOST_USES", 1)
    assert rows() == whole and len(whole) > len(capabilities())
    shown = auditor.get(reverse("access-report"), asked)
    assert "Only the latest 1 operations of each type are checked." in shown.content.decode()


def test_the_access_report_is_exported_as_tables(world: dict[str, Any], auditor: Any) -> None:
    production = Environment.objects.get(slug="production")
    for take, line in (("could", "Committee A,"), ("did", "Committee A,Approve,")):
        answer = auditor.get(reverse("access-report"), {"take": take, "environment": production.pk})
        table = b"".join(answer.streaming_content).decode()
        assert line in table and answer["Content-Type"].startswith("text/csv"), table
        event = Event.objects.filter(operation="audit:export_access").latest("at")
        assert event.contents["after"]["table"] == take and event.contents["after"]["environment"] == "production"


def test_an_operation_without_a_right_is_marked(
    world: dict[str, Any], auditor: Any, people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """A person writes an approval past every check: the ledger says that this person had no right to it."""
    from releases.models import ApprovalDecision

    with acting_as("tester"), operation("approval:approve") as op:
        made = ApprovalDecision.objects.create(
            approval_request=world["round"],
            account=people["tester"],
            decision="approve",
            roles=["committee"],
            digest=world["round"].digest,
            signature={},
            at=now(),
        )
        op.about(made)
    html = auditor.get(reverse("access-report")).content.decode()
    assert "Operations without permission: 1" in html


def given(acting_as: Callable[..., Any], account: Any, role: str, slug: str) -> None:
    """Let an account hold a role in one environment."""
    with acting_as("administrator"):
        grant = request_role(account.pk, role=role, reason="x", environment_id=Environment.objects.get(slug=slug).pk)
    if grant.confirmed_at is None:
        with acting_as("second_administrator"):
            confirm(grant.pk)


def words_of(name: str, slug: str = "production") -> list[list[str]]:
    """Return the roles by which a person could fill each team role in an environment."""
    rows = could(AccessAsOf(), now(), Environment.objects.get(slug=slug))
    return next((cells for person, cells in rows if person.name == name), [[] for _capability in capabilities()])


def test_a_role_in_staging_allows_nothing_in_production(
    world: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """Neither in the table of rights nor beside an operation."""
    given(acting_as, people["tester"], "committee", "staging")
    with acting_as("tester"), operation("approval:approve") as op:
        op.about(world["round"])
    assert words_of("Tester", "staging")[1] == ["Release committee"] and words_of("Tester")[1] == []
    done, _more = uses(AccessAsOf(), Environment.objects.get(slug="production"), now() - timedelta(days=1), now())
    assert {use.happening.actor: use.allowed for use in done if use.happening.operation == "approval:approve"} == {
        "Committee A": True,
        "Tester": False,
    }


def test_a_delegate_may_approve_and_nothing_else(
    world: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """The product allows a delegate neither to send back nor to start."""
    for absent in ("committee_a", "operator"):
        with acting_as(absent):
            made = request.request_delegation(
                delegator_id=people[absent].pk,
                delegate_id=people["tester"].pk,
                starts_at=now(),
                until=now() + timedelta(days=1),
                reason="休暇",
            )
        with acting_as("administrator"):
            request.confirm(made.pk)
    assert words_of("Tester") == [[], ["Release committee, for Committee A"], [], [], [], []]
    for event in ("approval:approve", "approval:send_back"):
        with acting_as("tester"), operation(event) as op:
            op.about(world["round"])
    done, _more = uses(AccessAsOf(), Environment.objects.get(slug="production"), now() - timedelta(days=1), now())
    his = {use.happening.operation: use.allowed for use in done if use.happening.actor == "Tester"}
    assert his == {"approval:approve": True, "approval:send_back": False}


def test_a_right_without_environment_needs_a_role_for_all_environments(
    world: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """A developer of production alone adds no change entry; a use in staging is no use of production."""
    given(acting_as, people["tester"], "developer", "production")
    with acting_as("tester"), operation("release:add_change_entry") as op:
        op.about(world["draft"])
    given(acting_as, people["auditor"], "release_manager", "staging")
    with acting_as("auditor"), operation("window:create_freeze") as op:
        op.about(Environment.objects.get(slug="staging"))
    assert words_of("Developer")[0] == ["Developer"] and words_of("Tester")[0] == []
    found = {}
    for slug in ("production", "staging"):
        done, _more = uses(AccessAsOf(), Environment.objects.get(slug=slug), now() - timedelta(days=1), now())
        found[slug] = {
            (use.happening.operation, use.allowed) for use in done if use.happening.actor in ("Tester", "Auditor")
        }
    assert found["production"] == {("release:add_change_entry", False)}
    assert found["staging"] == {("release:add_change_entry", False), ("window:create_freeze", True)}


def test_refreshing_from_git_needs_a_right_in_an_environment_of_the_release(
    world: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """An operator of production alone had the right; a tester of an environment outside the release had not."""
    release, place = world["draft"], Environment.objects.get(slug="production")
    elsewhere = make(Environment, slug="elsewhere", name_ja="x", name_en="x", tier="staging", order=9)
    given(acting_as, people["outsider"], "operator", "production")
    given(acting_as, people["auditor"], "operator", elsewhere.slug)
    with acting(COMMAND):
        enrolled(people["outsider"])
    for name in ("outsider", "auditor"):
        with acting_as(name), operation("release:refresh_from_git", (type(release), release.pk)):
            pass
    done, _more = uses(AccessAsOf(), place, now() - timedelta(days=1), now())
    found = {u.happening.actor: u.allowed for u in done if u.happening.operation == "release:refresh_from_git"}
    assert found[str(people["outsider"])] is True and found[str(people["auditor"])] is False
