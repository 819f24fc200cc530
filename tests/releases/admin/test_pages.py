"""Every page as every person: it answers, offers only what the reader may do, and takes no POST."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.operation import operation
from environments import access
from releases.models import Evidence, Procedure
from tests.releases.admin.counting import capture_queries
from tests.releases.admin.seed_deployments import walk
from tests.releases.gates.asking import COMMAND

READERS = ("administrator", "manager", "operator", "committee_b", "developer", "auditor")
LISTS = (
    "audit_outbox",
    "audit_checkpoint",
    "environments_environment",
    "environments_application",
    "environments_deploymenttarget",
    "environments_configurationversion",
    "environments_accessrule",
    "environments_accessgrant",
    "environments_account",
    "environments_changewindow",
    "environments_changefreeze",
    "releases_procedure",
    "releases_release",
    "releases_deployment",
    "releases_rollback",
    "releases_evidence",
    "releases_followup",
    "releases_deployedversion",
)
HARMLESS = ("language", "account_logout")


def addresses(world: dict[str, Any]) -> list[str]:
    """Return the address of every page that shows a row of the world."""
    pages = [reverse(name) for name in ("admin:index", "calendar", "timeline", "access", "queues", "as-of")]
    pages += [
        reverse("access-report"),
        reverse("event", args=[1]),
        *map(reverse, ("statistics", "glossary", "procedure-difference")),
    ]
    pages += [reverse(name, args=[world["review"].pk]) for name in ("approval-request-form", "contact-list")]
    pages += [reverse("rollback-report", args=[world["rollback"].pk])]
    pages += [reverse("procedure-document", args=[world["released"].procedure_id])]
    pages += [
        reverse("as-of") + f"?object=releases.Release:{world['draft'].pk}",
        reverse("as-of") + "?kind=releases.Step",
    ]
    pages += [reverse("release", args=[world[name].pk]) for name in ("review", "released", "draft")]
    pages += [reverse("deployment", args=[world[name].pk]) for name in ("running", "waiting", "back")]
    pages += [reverse("rollback", args=[world["rollback"].pk])]
    pages += [reverse("approval-request", args=[world[name].pk]) for name in ("round", "extra")]
    pages += [reverse(f"admin:{name}_changelist") for name in LISTS]
    pages += [
        reverse("admin:releases_procedure_change", args=[world["released"].procedure_id]),
        reverse("admin:environments_application_change", args=[world["application"].pk]),
        reverse("admin:environments_environment_change", args=[world["running"].environment_id]),
        reverse("admin:environments_account_change", args=[world["draft"].author_id]),
    ]
    return pages


def post_targets(html: str) -> set[str]:
    """Return the addresses to which the forms of a page post."""
    forms = re.findall(r"<form[^>]*>", html)
    return {
        (re.search(r'action="([^"]*)"', form) or ["", ""])[1]
        for form in forms
        if re.search(r'method="post"', form, re.I)
    }


@pytest.mark.parametrize("name", READERS)
def test_every_page_loads_for_every_reader(world: dict[str, Any], browsers: Callable[[str], Any], name: str) -> None:
    """No error, in either language, for any role; no form except HARMLESS ones, that of a saved view, which changes
    nothing of a release, and the decision on its sheet: every other change has its own page, and the auditor is offered
    none.
    """
    wrong: list[tuple[str, str, int | str]] = []
    allowed = {*(reverse(name) for name in HARMLESS), reverse("operation-new", args=["saved_view", "save"])}
    decided = {
        reverse("approval-request", args=[row.pk]): reverse("operation", args=["approval", "approve", row.pk])
        for row in (world["round"], world["extra"])
    }
    client = browsers(name)
    for address in addresses(world):
        for language in ("ja", "en"):
            client.cookies["django_language"] = language
            response = client.get(address)
            html = response.content.decode()
            if response.status_code != 200:
                wrong.append((language, address, response.status_code))
            if more := post_targets(html) - allowed - {decided.get(address)}:
                wrong.append((language, address, f"posts to {more}"))
            if name == "auditor" and ("data-verb=" in html or "/admin/operation/" in html):
                wrong.append((language, address, "is offered a verb"))
    assert not wrong


def test_pages_refuse_post_requests(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Pages only read; a forged form is answered with 405 and changes nothing."""
    client = browsers("manager")
    for address in addresses(world):
        assert client.post(address, {"action": "delete_selected", "_selected_action": "1"}).status_code == 405, address
    world["draft"].refresh_from_db(fields=["title"])


def test_rows_have_no_add_change_or_delete_page(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The admin's own forms do not exist."""
    client = browsers("administrator")
    for tail in ("add/", f"{world['draft'].pk}/delete/", f"{world['draft'].pk}/history/"):
        assert client.get(reverse("admin:releases_release_changelist") + tail).status_code == 404


def test_every_verb_has_its_page(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The form for permitted people, a plain refusal for others, and never an error."""
    from releases.admin.operations import VERBS

    statuses: dict[str, set[int]] = {}
    for name in READERS:
        client = browsers(name)
        for verb in VERBS:
            row = verb.model._default_manager.first() if verb.model is not None else None
            if verb.model is not None and row is None:
                continue
            response = client.get(verb.url(row.pk if row is not None else None))
            statuses.setdefault(name, set()).add(response.status_code)
            assert response.status_code in (200, 403), (name, verb.key)
            offers = 'enctype="multipart/form-data"' in response.content.decode()
            assert offers == (response.status_code == 200), (name, verb.key)
    assert 200 in statuses["manager"]


def test_a_visitor_is_sent_to_the_sign_in(world: dict[str, Any]) -> None:
    """Nothing is shown to a person who has not signed in."""
    from django.test import Client

    for address in [*addresses(world), reverse("step-log", args=[world["step"].pk])]:
        response = Client().get(address)
        assert response.status_code == 302, address
        assert "/account/login/" in response.url, address


def test_the_admin_has_no_sign_in_of_its_own(world: dict[str, Any]) -> None:
    """Django's own sign-in would bypass re-authentication and the second factor."""
    from django.test import Client

    for response in (Client().get("/admin/login/"), Client().post("/admin/login/", {"username": "manager"})):
        assert response.status_code == 302 and response.url.startswith("/account/login/")


def test_an_account_without_a_role_is_told_so(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The first page explains it and says whom to ask; every other page is refused."""
    client = browsers("outsider")
    first = client.get(reverse("admin:index")).content.decode()
    assert "no role" in first and f"Administrators: {', '.join(map(str, access.holders('administrator')))}" in first
    assert client.get(reverse("release", args=[world["draft"].pk])).status_code == 403
    assert client.get(reverse("timeline")).status_code == 403


def test_the_author_sees_the_reason_instead_of_an_approve_button(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """A person who is not permitted sees no button. A person who has decided has none either."""
    pages = {
        reverse("release", args=[world["review"].pk]): "data-decide",
        reverse("approval-request", args=[world["round"].pk]): 'data-verb="approval:approve"',
    }
    for page, button in pages.items():
        assert button in browsers("committee_b").get(page).content.decode()
        assert button not in browsers("committee_a").get(page).content.decode()
        assert button not in browsers("manager").get(page).content.decode()


def test_a_verb_that_is_not_possible_is_disabled_with_its_reason(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """A draft cannot be submitted: the button is shown, is no link, and says why."""
    html = browsers("manager").get(reverse("release", args=[world["draft"].pk])).content.decode()
    found = re.search(r'<span class="r-btn off"[^>]*data-verb="release:submit">.*?</small>', html, re.S)
    assert found and "Draft" in found[0]
    assert 'href="' + reverse("operation", args=["release", "submit", world["draft"].pk]) not in html


def test_the_step_log_is_refused_to_readers_of_the_audit_log_only(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """A developer reads logs in development and none in production."""
    production = world["back"].steps.order_by("ordinal")[0]
    development = world["waiting"].steps.order_by("ordinal")[0]
    assert browsers("developer").get(reverse("step-log", args=[production.pk])).status_code == 403
    assert "$ backup" in browsers("developer").get(reverse("step-log", args=[development.pk])).content.decode()
    html = browsers("developer").get(reverse("deployment", args=[world["back"].pk])).content.decode()
    assert "$ backup" not in html and "<svg viewBox" not in html


def test_the_step_log_returns_lines_since_a_position(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """?after= returns only later chunks, with the number for the next request."""
    client, address = browsers("operator"), reverse("step-log", args=[world["step"].pk])
    first = client.get(address, {"after": "0"}).json()
    assert first["text"].startswith("$ ") and first["state"] == "running"
    again = client.get(address, {"after": first["after"]}).json()
    assert again["text"] == "" and again["after"] == first["after"]
    assert client.get(address, {"after": "x"}).status_code == 400


def test_secrets_are_never_shown(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Neither in clear nor encrypted; their keys are shown."""
    row = world["application"].configurations.first()
    html = (
        browsers("operator")
        .get(reverse("admin:environments_configurationversion_change", args=[row.pk]))
        .content.decode()
    )
    assert "DATABASE_PASSWORD" in html and "•••" in html
    assert "hidden-from-everyone" not in html
    assert all(encrypted not in html for encrypted in row.encrypted.values())


def test_the_language_is_selected_without_signing_in(world: dict[str, Any]) -> None:
    """The language menu on the sign-in page sets the cookie."""
    from django.test import Client

    client = Client(headers={"accept-language": "ja"})
    client.post(reverse("language"), {"language": "en", "next": "/account/login/"})
    assert 'lang="en"' in client.get("/account/login/").content.decode()


def test_the_health_page_is_public(world: dict[str, Any]) -> None:
    """It answers without an account and reports only that the services answer."""
    from django.test import Client

    parts = ("ok", "database", "queue", "scheduler", "ledger_signer", "workers", "ledger")
    assert Client().get("/health/").json() == dict.fromkeys(parts, True) | {"reason": ""}


def test_a_query_string_filters_by_listed_columns_only(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """A query string does not reveal columns that the list hides."""
    client = browsers("auditor")
    accounts = reverse("admin:environments_account_changelist")
    assert client.get(accounts, {"kind__exact": "person"}).status_code == 200
    assert client.get(accounts, {"password__startswith": "a"}).status_code in (302, 400)


def _queries(client: Any, address: str) -> int:
    client.get(address)
    with capture_queries() as caught:
        answer = client.get(address)
        assert answer.status_code == 200 and (not answer.streaming or b"".join(answer.streaming_content))
    return len(caught)


def test_more_rows_need_no_more_queries(
    world: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    """The same at three rows and at thirty."""
    from tests.releases.admin import seed

    client, seen = browsers("manager"), browsers("committee_b")
    pages = addresses(world)
    pages += [f"{reverse(f'admin:{name}_changelist')}?csv=1" for name in LISTS]
    before = {address: _queries(client, address) for address in pages}
    first = _queries(seen, reverse("admin:index"))
    seed.more(acting_as, world, 27)
    after = {address: _queries(client, address) for address in pages}
    grown = {address: (before[address], after[address]) for address in pages if after[address] > before[address]}
    assert not grown
    assert _queries(seen, reverse("admin:index")) <= first
    print("\n".join(f"{count:4} {address}" for address, count in sorted(after.items(), key=lambda x: -x[1])[:8]))
    assert after[reverse("admin:index")] <= 48
    over = {address: count for address, count in after.items() if count > 50}
    assert not over


def test_a_release_page_shows_the_latest_rows_and_links_to_the_rest(
    world: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    """Of thirty deployments the newest, of thirty reports about one cell the last; the links lead to all of them."""
    from releases.admin.pages.release.page import SHOWN
    from tests.releases.admin import seed

    client, release = browsers("manager"), world["review"]
    before = release.deployments.count()
    seed.more(acting_as, world, 30)
    page = client.get(reverse("release", args=[release.pk]))
    deployments = page.context["deployments"]
    assert (
        deployments == list(release.deployments.all()[:SHOWN])
        and page.context["deployments_left"] == before + 30 - SHOWN
    )
    address = f"{reverse('admin:releases_deployment_changelist')}?release__id__exact={release.pk}"
    assert address in page.content.decode()
    assert client.get(address).context["cl"].queryset.count() == before + 30
    shown = [(row.kind, row.test_type, row.environment_id) for row in page.context["evidence"]]
    assert len(shown) == len(set(shown))
    last = Evidence.objects.filter(tree=release.tree, environment__slug="production", kind="junit").latest("pk")
    assert last in page.context["evidence"]
    address = f"{reverse('admin:releases_evidence_changelist')}?tree__exact={release.tree}"
    assert address in page.content.decode()
    assert set(client.get(address).context["cl"].queryset) == set(Evidence.objects.filter(tree=release.tree))


def test_a_release_has_a_page_before_the_first_procedure(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """An imported release has a page; its final check cannot be signed yet, and the form says why."""
    active = Procedure.objects.get(state="in_effect")
    with acting(COMMAND), operation("test:walk", (Procedure, active.pk)) as op:
        walk(op.get(Procedure), "retire")
    release = world["draft"]
    assert release.procedure is None
    check = reverse("operation", args=["release", "sign_final_check", release.pk])
    for name in ("manager", "operator", "auditor"):
        answer = browsers(name).get(reverse("release", args=[release.pk]))
        assert answer.status_code == 200 and check not in answer.content.decode()
    answer = browsers("operator").get(check)
    assert answer.status_code == 403 and "No release procedure is in effect." in answer.content.decode()
