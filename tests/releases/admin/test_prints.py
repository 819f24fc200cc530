"""The printed sheets hold the required facts, with the planned times and the rollback decision time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

from audit.clock import now
from environments.models import Environment
from releases.admin.components.formatting import clock, when
from releases.admin.pages.prints.page import lines
from releases.gates.durations import Durations
from releases.models import Deployment
from tests.releases.gates.asking import alter, make

STEPS = {"label_ja": "一", "label_en": "one", "step_type": "command", "required": True}


def test_planned_steps_follow_each_other(world: dict[str, Any]) -> None:
    """Each begins when the one before ends; without a start the sheet shows no times."""
    start = world["review"].scheduled_start_at
    plan = {"deployment": [{**STEPS, "estimate_seconds": 60}], "verification": [{**STEPS, "estimate_seconds": 30}]}
    found = lines(plan, ("deployment", "verification"), start, False, Durations())
    assert [(line.number, line.begins - start, line.ends - start) for line in found if line.begins and line.ends] == [
        (1, timedelta(0), timedelta(seconds=60)),
        (2, timedelta(seconds=60), timedelta(seconds=90)),
    ]
    assert lines(plan, ("deployment",), None, True, Durations())[0].begins is None


def test_the_runbook_names_the_decision_time(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The end of the window minus the whole rollback; each step has its planned start."""
    row = world["review"]
    zone = "Asia/Tokyo"
    html = browsers("operator").get(reverse("runbook", args=[row.pk, "production"])).content.decode()
    back = sum(s["estimate_seconds"] for p in ("rollback", "rollback_verification") for s in row.step_plan[p])
    assert when(row.scheduled_end_at - timedelta(seconds=back), zone) in html
    second = row.scheduled_start_at + timedelta(seconds=row.step_plan["deployment"][0]["estimate_seconds"])
    assert clock(second, zone) in html
    assert "03-1234-5678" in html


def test_an_unscheduled_deployment_takes_the_decision_time_from_the_releases_window(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    row = world["review"]
    make(
        Deployment,
        release=row,
        application=row.application,
        requested_by=row.author,
        environment=Environment.objects.get(slug="production"),
    )
    html = browsers("operator").get(reverse("runbook", args=[row.pk, "production"])).content.decode()
    back = sum(s["estimate_seconds"] for p in ("rollback", "rollback_verification") for s in row.step_plan[p])
    assert when(row.scheduled_end_at - timedelta(seconds=back), "Asia/Tokyo") in html


def test_the_runbook_shows_no_time_without_a_window(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """In staging a deployment has a start and no decision time; without a deployment the sheet shows no time."""
    row, deployment = (
        world["review"],
        alter(world["running"], scheduled_end_at=None, scheduled_start_at=now() + timedelta(hours=9)),
    )
    client, zone = browsers("operator"), "Asia/Tokyo"
    for language, words in (("en", "Rollback decision time"), ("ja", "ロールバック判断時刻")):
        client.cookies["django_language"] = language
        with translation.override(language):
            planned = (
                when(row.scheduled_start_at, zone),
                when(row.scheduled_end_at, zone),
                clock(row.scheduled_start_at, zone),
            )
            hour = when(deployment.scheduled_start_at, zone)
        for place, has in (("production", True), ("staging", False)):
            html = client.get(reverse("runbook", args=[row.pk, place])).content.decode()
            assert (words in html, planned[1] in html, hour in html) == (has, has, not has), (language, place)
        assert not any(time in html for time in planned)
        html = client.get(reverse("runbook", args=[world["draft"].pk, "staging"])).content.decode()
        assert words not in html and html.count("<time") == 1, "when it was printed"


def test_the_runbook_is_for_those_who_see_the_environment(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """A tester does not see production."""
    assert browsers("tester").get(reverse("runbook", args=[world["review"].pk, "production"])).status_code == 403


def test_the_application_sheet_holds_every_decision(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Person, role, time and digest of each decision; and the content of the request."""
    row, approval_request = world["review"], world["round"]
    html = browsers("auditor").get(reverse("approval-request-form", args=[row.pk])).content.decode()
    approval = approval_request.decisions.get()
    for said in (
        approval_request.digest,
        str(approval.account),
        approval.comment,
        when(approval.at, "Asia/Tokyo"),
        row.rollback_plan,
        "DS-101",
    ):
        assert said in html, said


def test_the_contact_sheet_follows_the_order_of_decision_requests(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """Verifier, responsible, decision maker; a team role without a person is named as empty."""
    html = browsers("manager").get(reverse("contact-list", args=[world["review"].pk])).content.decode()
    named = ("Verifier", "Release lead", "Rollback decision maker", "Other team members")
    places = [html.index(words) for words in named]
    assert places == sorted(places) and "not assigned" in html


def test_the_rollback_sheet_holds_facts_and_documents(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The cause in the procedure's words, and the three documents."""
    row = world["rollback"]
    html = browsers("auditor").get(reverse("rollback-report", args=[row.pk])).content.decode()
    assert "error_rate" not in html.split("<pre>")[0] and row.note in html
    assert html.count("<pre>") == 3


def test_a_backup_proof_without_a_database_says_so() -> None:
    three = {"code": "a" * 40, "configuration": "b" * 64, "data": ""}
    nothing = {"before": three, "under": three, "after": three}
    for digests, said in ((nothing, True), ({**nothing, "under": {**three, "data": "c" * 64}}, False)):
        html = render_to_string("components/digests.html", {"digests": digests})
        assert ("No database is managed by Ringi here." in html) is said
