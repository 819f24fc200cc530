"""Teams: a grant for one application counts for its rows alone, on pages, in lists and in operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import RequestFactory
from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted
from environments import access
from environments.admin.rights import read_rights
from environments.application_scope import application_of
from environments.models import (
    AccessGrant,
    AccessRequest,
    Account,
    Application,
    ChangeFreeze,
    ChangeWindow,
    Environment,
)
from environments.operations.access import request as requests
from environments.operations.access.grant import confirm, request_role, revoke
from environments.operations.window.create_freeze import freeze
from environments.roles import ENVIRONMENT_PERMISSIONS, ROLE_PERMISSIONS
from releases.admin.components.links import page_of
from releases.admin.operations import VERBS, verbs_on
from releases.admin.operations.base import environment_of
from releases.gates import quorum
from releases.models import ApprovalRequest, Deployment, Release, Step
from releases.operations.application.create import create_application
from releases.operations.approval.decide import approve
from releases.queries.assignees import assignees
from releases.queries.notification_subject import subject_of
from tests.conftest import CAST
from tests.releases.gates.asking import COMMAND

# These need a grant for all applications.
FOR_ALL = frozenset(verb.key for verb in VERBS if verb.for_all)
RIGHTS = sorted(ENVIRONMENT_PERMISSIONS.union(*ROLE_PERMISSIONS.values()))


def limit(people: dict[str, Any], application: Application | None, *names: str, group: str = "") -> None:
    """Let all grants of these people count for one application, or a group."""
    with acting(COMMAND), operation("test:limit", (Account, people[names[0]].pk)):
        for grant in AccessGrant.objects.filter(account__username__in=names):
            grant.application, grant.application_group = application, group
            grant.save()


@pytest.fixture
def rows(seeded: dict[str, Any]) -> list[Model]:
    """The rows of both applications, datasets and portal, that the pages show."""
    found = [*seeded.values(), *ApprovalRequest.objects.all(), *ChangeWindow.objects.exclude(application=None)]
    return [*found, *Deployment.objects.all(), *Step.objects.all()[:3], *Release.objects.all()]


@pytest.fixture
def portal(seeded: dict[str, Any]) -> Application:
    """The second application."""
    return Application.objects.get(slug="portal")


def offered(people: dict[str, Any], rows: Iterable[Model]) -> set[tuple[str, str, int, str]]:
    """Return who has the right to do what to which row."""
    return {
        (name, row._meta.label, row.pk, verb.key)
        for name in CAST
        for rights in [read_rights(people[name])]
        for row in rows
        for verb in verbs_on(type(row))
        if verb.rights and verb.has_right(rights, row)
    }


def test_a_team_has_the_rights_of_its_roles_on_its_own_rows_and_none_on_those_of_another(
    seeded: dict[str, Any], rows: list[Model], portal: Application, people: dict[str, Any]
) -> None:
    """The buttons of everybody on every row, with all grants limited to each application in turn."""
    everything = offered(people, rows)
    applications = {(row._meta.label, row.pk): application_of(row) for row in rows}
    assert {seeded["application"].pk, portal.pk} <= set(applications.values())
    for own in (seeded["application"], portal):
        limit(people, own, *CAST)
        own_rows = {entry for entry in everything if applications[entry[1], entry[2]] == own.pk}
        there = {entry for entry in own_rows if entry[3] not in FOR_ALL}
        assert there, own
        assert offered(people, rows) == there


def test_operations_answer_as_pages_do(
    rows: list[Model], portal: Application, people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """Every right of every limited role, asked inside an operation on each row."""
    limit(people, portal, *CAST)
    seen = set()
    for name in ("administrator", "manager", "developer", "operator", "author_on_committee"):
        rights = read_rights(people[name])
        for row in {(type(row), row.pk): row for row in rows}.values():
            place, there = environment_of(row), rights.about(row)
            with acting_as(name), operation("test:look", (type(row), row.pk)):
                for right in RIGHTS:
                    expected = there.may(right, place)
                    assert access.may(people[name], right, place) == expected, (name, row, right)
                    seen.add((expected, application_of(row) == portal.pk))
    assert seen == {(True, True), (False, True), (False, False)}


def test_what_belongs_to_no_application_needs_a_grant_for_all(
    seeded: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    limit(people, seeded["application"], "manager", "administrator")
    with acting_as("manager"), pytest.raises(NotPermitted, match="some applications only"):
        create_application(slug="third", name="Third", repository="/srv/git/third")
    production = Environment.objects.get(slug="production")
    begin = now() + timedelta(days=50)
    when = {"name": "x", "starts_at": begin, "ends_at": begin + timedelta(hours=1), "reason": "x"}
    with acting_as("manager"):
        made = freeze(production.pk, application_id=seeded["application"].pk, **when)
        assert made.application == seeded["application"]
        with pytest.raises(NotPermitted, match="some applications only"):
            freeze(production.pk, **when)
        with pytest.raises(NotPermitted, match="for ポータル"):
            freeze(production.pk, application_id=Application.objects.get(slug="portal").pk, **when)


def test_a_row_that_names_no_application_where_it_could_is_about_all(
    seeded: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """Also where a row of the person's application is locked beside it."""
    limit(people, seeded["application"], "manager")
    everywhere = ChangeFreeze.objects.filter(application=None).first()
    assert everywhere is not None
    beside = ((Release, seeded["review"].pk), (ChangeFreeze, everywhere.pk))
    for rows, expected in ((beside[:1], True), (beside, False)):
        with acting_as("manager"), operation("test:look", *rows):
            assert access.may(people["manager"], "plan") is expected


def test_pages_of_another_application_are_not_found(
    seeded: dict[str, Any],
    rows: list[Model],
    portal: Application,
    people: dict[str, Any],
    browsers: Callable[[str], Any],
) -> None:
    deployments = [row for row in rows if isinstance(row, Deployment)]
    releases = [row for row in rows if isinstance(row, Release)]
    pages = {page_of(row).partition("#")[0]: application_of(row) for row in rows if page_of(row)}
    for release in releases:
        for name in ("sign-all", "approval-request-form", "contact-list"):
            pages[reverse(name, args=[release.pk])] = release.application_id
        pages[reverse("dry-run", args=[release.pk, "production"])] = release.application_id
        pages[reverse("timeline") + f"?release={release.pk}"] = release.application_id
        pages[reverse("as-of") + f"?object=releases.Release:{release.pk}"] = release.application_id
    for step in Step.objects.filter(deployment__in=deployments)[:4]:
        pages[reverse("step-log", args=[step.pk])] = application_of(step)
    pages[reverse("monitoring", args=[seeded["metric_sources"].pk])] = application_of(seeded["metric_sources"])
    whole = {address: browsers("operator").get(address).status_code for address in pages}
    assert set(whole.values()) == {200}, whole
    limit(people, portal, "operator")
    found = {address: browsers("operator").get(address).status_code for address in pages}
    own = {address for address, application in pages.items() if application == portal.pk}
    assert own
    assert own < set(pages)
    wrong = {address: status for address, status in found.items() if (status == 200) != (address in own)}
    assert not wrong
    for name in ("timeline", "as-of", "access-report"):
        assert browsers("operator").get(reverse(name)).status_code == 403


def test_lists_have_the_rows_of_the_readers_applications(
    seeded: dict[str, Any], portal: Application, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    limit(people, portal, "operator")
    client, other = browsers("operator"), 0
    for model in set(admin.site._registry) - {Event}:  # its list is the timeline
        answer = client.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
        assert answer.status_code == 200, model
        shown = {application_of(row) for row in answer.context["cl"].result_list}
        assert shown <= {None, portal.pk}, model
        other += seeded["application"].pk in {application_of(row) for row in model._default_manager.all()[:50]}
    assert other >= 8, "there were rows to leave out"
    html = client.get(reverse("admin:index")).content.decode()
    assert "データセット" not in html and "ポータル" in html
    assert client.get(reverse("statistics")).context["chosen"] == portal


def test_tasks_are_those_of_the_readers_applications(
    seeded: dict[str, Any], portal: Application, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    def tasks(name: str) -> set[str]:
        return {row.url for row in browsers(name).get(reverse("admin:index")).context["tasks"]}

    names = ("manager", "developer", "tester", "operator", "second_operator", "committee_b")
    whole = {name: tasks(name) for name in names}
    limit(people, portal, *names)
    there = {name: tasks(name) for name in names}
    limit(people, seeded["application"], *names)
    here = {name: tasks(name) for name in names}
    for name in names:
        assert there[name] | here[name] == whole[name]
        assert not there[name] & here[name]
    assert page_of(seeded["round"]) in here["committee_b"]


def test_an_approval_counts_for_the_application_of_its_approver(
    seeded: dict[str, Any], portal: Application, people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """Then, now, and at the time of the deployment; and only those who may are asked."""
    request = seeded["round"]
    assert people["committee_b"] in quorum.candidates(request)
    assert len(quorum.count(request).persons) == 1
    limit(people, portal, "committee_a", "committee_b")
    assert people["committee_b"] not in quorum.candidates(request)
    assert quorum.count(request).persons == []
    with acting_as("committee_b"), pytest.raises(NotPermitted, match="for "):
        approve(request.pk, digest=request.digest)
    subject = subject_of(f"releases.ApprovalRequest:{request.pk}")
    assert subject is not None
    asked = assignees("approval:request", subject, {"approval_request": request.pk})
    assert people["committee_b"] not in asked
    limit(people, seeded["application"], "committee_a", "committee_b")
    assert people["committee_b"] in assignees("approval:request", subject, {"approval_request": request.pk})
    with acting_as("committee_b"):
        approve(request.pk, digest=request.digest)
    assert ApprovalRequest.objects.get(pk=request.pk).state == "approved"


def test_a_grant_for_a_group_counts_for_later_applications_too(
    people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    with acting_as("manager"):
        first = create_application(slug="first", name="First", repository="/srv/git/first", group="imaging")
    with acting_as("administrator"):
        with pytest.raises(InvalidInput, match="imagin”"):
            request_role(people["outsider"].pk, role="developer", reason="x", application_group="imagin")
        with pytest.raises(InvalidInput, match="not both"):
            scope = {"application_group": "imaging", "application_id": first.pk}
            request_role(people["outsider"].pk, role="developer", reason="x", **scope)
        request_role(people["outsider"].pk, role="developer", reason="team", application_group="imaging")
    with acting_as("manager"):
        later = create_application(slug="later", name="Later", repository="/srv/git/later", group="imaging")
        other = create_application(slug="other", name="Other", repository="/srv/git/other")
    for application, expected in ((first, True), (later, True), (other, False)):
        assert access.may(people["outsider"], "edit_changes", application=application.pk) is expected
    assert read_rights(people["outsider"]).applications == {first.pk, later.pk}


def test_an_administrator_of_one_application_gives_access_to_it_alone(
    seeded: dict[str, Any],
    portal: Application,
    people: dict[str, Any],
    acting_as: Callable[..., Any],
    browsers: Callable[[str], Any],
) -> None:
    limit(people, portal, "administrator", "second_administrator")
    with acting_as("administrator"):
        given = request_role(people["outsider"].pk, role="operator", reason="team", application_id=portal.pk)
        for scope in ({}, {"application_id": seeded["application"].pk}):
            with pytest.raises(NotPermitted):
                request_role(people["outsider"].pk, role="operator", reason="team", **scope)
    with acting_as("second_administrator"):
        confirm(given.pk)
    assert access.roles_of(people["outsider"], application=portal.pk) == set(), "no second factor yet"
    form = browsers("administrator").get(f"/admin/operation/access/grant/{people['tester'].pk}/").context["form"]
    assert list(form.fields["application_id"].queryset) == [portal] and form.fields["application_id"].required
    with acting_as("tester"):
        asked = requests.request(
            role="operator",
            environment_id=Environment.objects.get(slug="staging").pk,
            application_id=portal.pk,
            hours=2,
            reason="night",
        )
    with acting_as("administrator"):
        requests.approve(asked.pk)
    grant = AccessRequest.objects.get(pk=asked.pk).grant
    assert grant is not None and grant.application == portal and grant.confirmed_at is None


def test_the_last_approvers_of_an_application_stay(
    seeded: dict[str, Any], portal: Application, people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """The committee of another application does not stand in for them."""
    grants = [
        AccessGrant.objects.get(account=people[name], role="committee") for name in ("committee_a", "committee_b")
    ]
    limit(people, seeded["application"], *(name for name in CAST if name not in ("author_on_committee",)))
    limit(people, portal, "author_on_committee")
    with acting(COMMAND):
        for name in ("administrator", "second_administrator"):
            request_role(people[name].pk, role="administrator", reason="all")
    with acting_as("administrator"), pytest.raises(GateNotPassed) as refused:
        revoke(grants[0].pk, reason="moves")
    assert any(str(seeded["application"]) in str(why) for why in refused.value.reasons)


def test_the_calendar_names_the_windows_of_others_without_leading_there(
    seeded: dict[str, Any], portal: Application, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """A window is shared: people who plan must see what else is planned."""
    address = reverse("calendar") + f"?month={seeded['review'].scheduled_start_at:%Y-%m}"
    link = f'href="{page_of(seeded["review"])}"'
    assert link in browsers("manager").get(address).content.decode()
    limit(people, portal, "manager")
    html = browsers("manager").get(address).content.decode()
    assert link not in html and str(seeded["review"]) in html


def test_the_menu_of_a_limited_reader_has_no_page_that_refuses_them(
    portal: Application, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    from releases.admin.components.navigation import navigation

    limit(people, portal, "manager")
    client = browsers("manager")
    request = RequestFactory().get("/")
    request.user = people["manager"]
    links = [item["link"] for group in navigation(request) for item in group["items"]]
    assert len(links) > 20
    refused = {str(link): client.get(str(link)).status_code for link in links}
    assert set(refused.values()) == {200}, refused
