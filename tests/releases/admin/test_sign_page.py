"""All signatures that one release needs, on one page: each is its own operation, with one proof of identity."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from environments.models import Application, Environment
from environments.operations.access.grant import request_role
from releases.models import ApprovalRequest, ChecklistItem, Document, Release, Waiver
from releases.operations.release.prepare import lock_scope
from releases.operations.release.reschedule import set_scheduled_start
from tests.conftest import PASSWORD
from tests.releases.admin import seed
from tests.releases.gates.asking import COMMAND, alter, make, shown

OLD = [{"method": "password", "at": 1.0}]


def _offers(client: Any, release: Release) -> list[str]:
    import re

    return re.findall(
        r'name="sign" value="([^"]+)"', client.get(reverse("sign-all", args=[release.pk])).content.decode()
    )


def test_the_page_offers_only_signatures_that_the_reader_may_give(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """The approval request to members who have not decided; the checklist to testers; nothing to auditors."""
    release, approval_request = world["review"], world["round"]
    approval = f"approval-approve-{approval_request.pk}"
    assert approval in _offers(browsers("committee_b"), release)
    assert approval not in _offers(browsers("committee_a"), release)
    assert approval not in _offers(browsers("manager"), release)
    items = {f"checklist-sign-{item.pk}" for item in release.checklist.all()}
    assert items <= set(_offers(browsers("tester"), release))
    assert _offers(browsers("auditor"), release) == []
    assert browsers("outsider").get(reverse("sign-all", args=[release.pk])).status_code == 403


def test_each_tick_is_its_own_signature(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Two items are signed with their own words; the unticked items stay open."""
    release, client = world["review"], browsers("tester")
    first, second, third = release.checklist.all()[:3]
    sent = {"sign": [f"checklist-sign-{row.pk}" for row in (first, second)]}
    sent |= {f"checklist-sign-{row.pk}-evidence": f"read {row.pk}" for row in (first, second, third)}
    sent |= {f"checklist-sign-{row.pk}-digest": shown(row) for row in (first, second, third)}
    before = Event.objects.count()
    answer = client.post(reverse("sign-all", args=[release.pk]), sent)
    assert answer.status_code == 302 and answer.url == reverse("release", args=[release.pk])
    found = {row.pk: row for row in release.checklist.all()}
    assert [found[row.pk].evidence for row in (first, second)] == [f"read {first.pk}", f"read {second.pk}"]
    assert found[third.pk].signed_at is None
    assert Event.objects.count() >= before + 2


def test_an_expired_proof_of_identity_is_asked_for_once(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Nothing is signed before the password; after it every ticked item is."""
    release, client = world["review"], browsers("tester")
    session = client.session
    session["account_authentication_methods"] = OLD
    session.save()
    rows = list(release.checklist.all())
    sent: dict[str, Any] = {"sign": [f"checklist-sign-{row.pk}" for row in rows]}
    sent |= {f"checklist-sign-{row.pk}-evidence": "read" for row in rows}
    sent |= {f"checklist-sign-{row.pk}-digest": shown(row) for row in rows}
    answer = client.post(reverse("sign-all", args=[release.pk]), sent)
    assert answer.status_code == 302 and answer.url.startswith(reverse("account_reauthenticate"))
    assert len(set(client.session[STATE_SESSION_KEY]["contents"])) == len(rows), (
        "a passkey would sign all of them at once"
    )
    assert not release.checklist.exclude(signed_at=None).exists()
    client.post(answer.url, {"password": PASSWORD})
    assert not release.checklist.filter(signed_at=None).exists()
    assert client.get(reverse("admin:index")).status_code == 200, "who has signed is still signed in"


def test_a_form_that_a_link_filled_in_is_sent_after_the_proof(
    people: dict[str, Any], browsers: Any, tmp_path: Any
) -> None:
    """The address of such a form has a query; what was typed must not be lost when the password is asked for."""
    client = browsers("manager")
    session = client.session
    session["account_authentication_methods"] = OLD
    session.save()
    form = {"slug": "wiki", "name": "Wiki", "repository": str(tmp_path), "tag_format": "v{version}", "confirmed": "x"}
    answer = client.post("/admin/operation/application/create/?back=first-steps", form)
    if answer.status_code == 200:  # what cannot be read is shown first
        form["confirmed"] = answer.context["confirmed"]
        answer = client.post("/admin/operation/application/create/?back=first-steps", form)
    assert answer.status_code == 302 and answer.url.startswith(reverse("account_reauthenticate")), answer
    answer = client.post(answer.url, {"password": PASSWORD})
    made = Application.objects.get(slug="wiki")
    assert answer.url == reverse("first-steps-of", args=[made.pk])


def test_a_missing_text_prevents_every_signature(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The page returns with the fault and with the ticks."""
    release, client = world["review"], browsers("tester")
    first, second = release.checklist.all()[:2]
    sent = {
        "sign": [f"checklist-sign-{row.pk}" for row in (first, second)],
        f"checklist-sign-{first.pk}-evidence": "read",
        **{f"checklist-sign-{row.pk}-digest": shown(row) for row in (first, second)},
    }
    answer = client.post(reverse("sign-all", args=[release.pk]), sent)
    assert answer.status_code == 400 and answer.content.decode().count(" checked>") == 2
    assert not release.checklist.exclude(signed_at=None).exists()


def test_a_signature_that_was_not_offered_is_ignored(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """A forged tick of the author, and one on a row of another release, do nothing."""
    approval_request, document = world["round"], Document.objects.exclude(release=world["review"]).first()
    assert document is not None
    for name, key in (
        ("manager", f"approval-approve-{approval_request.pk}"),
        ("tester", f"document-check_content-{document.pk}"),
    ):
        answer = browsers(name).post(
            reverse("sign-all", args=[world["review"].pk]), {"sign": [key], f"{key}-digest": approval_request.digest}
        )
        assert answer.status_code == 302
    assert ApprovalRequest.objects.get(pk=approval_request.pk).decisions.count() == 1
    assert Document.objects.get(pk=document.pk).state == document.state


def test_an_approval_here_applies_to_the_shown_content(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The form sends the digest; the operation refuses another one and the page says so."""
    release, approval_request, client = world["review"], world["round"], browsers("committee_b")
    key = f"approval-approve-{approval_request.pk}"
    address = reverse("sign-all", args=[release.pk])
    said = client.post(address, {"sign": [key], f"{key}-digest": "0" * 64}, follow=True).content.decode()
    assert "Not done" in said and approval_request.decisions.count() == 1
    client.post(address, {"sign": [key], f"{key}-digest": approval_request.digest, f"{key}-comment": "ok"})
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "approved"


def _sent(rows: list[Any], **texts: str) -> dict[str, Any]:
    """Return the form's values for ticked checklist items, with the digests that it showed."""
    sent: dict[str, Any] = {"sign": [f"checklist-sign-{row.pk}" for row in rows]}
    sent |= {f"checklist-sign-{row.pk}-digest": shown(row) for row in rows}
    return sent | {f"checklist-sign-{row.pk}-evidence": "read" for row in rows} | texts


def test_typed_text_stays_beside_its_error(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Also where nothing was ticked; the fault is shown at its own field."""
    release, client = world["review"], browsers("tester")
    first, second, third = release.checklist.all()[:3]
    sent = _sent([first, second], **{f"checklist-sign-{second.pk}-evidence": ""})
    sent[f"checklist-sign-{third.pk}-evidence"] = "begun to read"
    answer = client.post(reverse("sign-all", args=[release.pk]), sent)
    html = answer.content.decode()
    assert answer.status_code == 400 and 'value="read"' in html and 'value="begun to read"' in html
    wrong = html.split("r-sign-one wrong")
    assert len(wrong) == 2 and wrong[1].index(str(second)) < wrong[1].index("This field is required")
    assert html.count(" checked>") == 2


def test_a_refused_signature_is_shown_again(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """One is signed; the other had another content: its reason and its text stay, its tick does not."""
    release, client = world["review"], browsers("tester")
    first, second = release.checklist.all()[:2]
    sent = _sent([first, second], **{f"checklist-sign-{second.pk}-digest": "0" * 64})
    sent[f"checklist-sign-{second.pk}-evidence"] = "what I saw"
    answer = client.post(reverse("sign-all", args=[release.pk]), sent)
    html = answer.content.decode()
    assert answer.status_code == 409 and "The content shown to you differs" in html and 'value="what I saw"' in html
    assert " checked>" not in html and f"checklist-sign-{first.pk}" not in html and shown(second) in html
    signed = set(release.checklist.exclude(signed_at=None))
    assert signed == {first}


def test_the_second_factor_is_asked_before_the_first_signature(
    world: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """As each operation alone asks for it, also where another needs none."""
    places = {place.slug: place for place in Environment.objects.all()}
    alter(places["production"], requires_two_factor=True)
    release, client = world["review"], browsers("project_manager")
    keys = []
    for slug in ("development", "production"):
        row = make(
            Waiver,
            release=release,
            environment=places[slug],
            gate="coverage",
            reason="x",
            requested_by=people["manager"],
            until=now() + timedelta(hours=1),
        )
        keys.append(f"waiver-confirm-{row.pk}")
    sent = {"sign": keys, f"{keys[1]}-reason": "agreed by telephone"}
    answer = client.post(reverse("sign-all", args=[release.pk]), sent)
    assert not Waiver.objects.exclude(approved_at=None).exists()
    assert answer.status_code == 302 and "/mfa/" in answer.url


def test_an_approver_is_shown_no_waiver(
    world: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """A tick of their own signs nothing either; an expired waiver is shown to nobody."""
    release = world["review"]
    with acting(COMMAND):
        request_role(people["committee_a"].pk, role="project_manager", reason="both")
    where = Environment.objects.get(slug="production")
    waiver = make(
        Waiver,
        release=release,
        environment=where,
        gate="coverage",
        reason="x",
        requested_by=people["manager"],
        until=now() + timedelta(hours=1),
    )
    key = f"waiver-confirm-{waiver.pk}"
    assert key in _offers(browsers("project_manager"), release)
    assert key not in _offers(browsers("committee_a"), release)
    page = reverse("sign-all", args=[release.pk])
    said = browsers("committee_a").post(page, {"sign": [key]}, follow=True).content.decode()
    assert "You do not have permission to sign this item" in said
    assert Waiver.objects.get(pk=waiver.pk).approved_at is None
    alter(waiver, until=now())
    assert key not in _offers(browsers("project_manager"), release)


def test_several_releases_are_signed_on_one_page(
    world: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    """The items of each release stand below its name, and one proof of identity is for all."""
    other = seed.draft(acting_as, world["application"], "7.0.0")
    with acting_as("manager"):
        set_scheduled_start(other.pk, start=world["review"].scheduled_start_at)
        lock_scope(other.pk)
    client, address = browsers("tester"), reverse("sign-all-releases")
    rows = [release.checklist.filter(signed_at=None).first() for release in (world["review"], other)]
    html = client.get(address).content.decode()
    assert all(f'value="checklist-sign-{row.pk}"' in html and str(row.release) in html for row in rows)
    sent: dict[str, Any] = {"sign": [f"checklist-sign-{row.pk}" for row in rows]}
    sent |= {f"checklist-sign-{row.pk}-evidence": "read" for row in rows}
    sent |= {f"checklist-sign-{row.pk}-digest": shown(row) for row in rows}
    assert client.post(address, sent).url == reverse("admin:index")
    assert not ChecklistItem.objects.filter(pk__in=[row.pk for row in rows], signed_at=None).exists()
    assert "checklist-sign" not in browsers("auditor").get(address).content.decode()
    assert browsers("outsider").get(address).status_code == 403
