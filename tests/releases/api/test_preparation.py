"""What people prepare, the freezes and the figures, as CI reads them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, timedelta
from typing import Any

from audit.clock import now
from environments.models import Application, ChangeFreeze, Environment
from environments.operations.window.create_freeze import freeze, freeze_recurring
from releases.models import Deployment, Document
from tests.releases.gates.asking import alter, walk


def test_what_is_prepared_is_read_with_its_signatures(world: Any, call: Callable[..., Any]) -> None:
    release, _request = world.approved()
    shown = call("get", f"/releases/{release.pk}/preparation").json()
    assert [row["label"] for row in shown["milestones"]] == [row.label_en for row in release.milestones.all()]
    signed = {row["key"]: (row["signed_by"], row["evidence"]) for row in shown["checklist"]}
    assert set(signed.values()) == {(str(world.people["operator"]), "read")}
    notes = next(row for row in shown["documents"] if row["kind"] == Document.Kind.RELEASE_NOTES)
    assert notes["text"] == "changes" and notes["state"] == "ready_to_publish"
    assert [row["signed_by"] for row in notes["signatures"]] == [
        str(world.people["operator"]),
        str(world.people["manager"]),
    ]
    assert {row["team_role"]: row["name"] for row in shown["team"]}["implementer"] == str(world.people["operator"])
    assert "+81" not in str(shown), "telephone numbers stay on the pages"
    assert [(row["role"], row["label"], row["signed_by"]) for row in shown["final_check"]] == [
        ("release_manager", "Release manager", None),
        ("operator", "Operator", None),
    ]


def test_the_final_check_is_read_with_its_signers(world: Any, call: Callable[..., Any]) -> None:
    release, _request = world.final_checked()
    shown = call("get", f"/releases/{release.pk}/preparation").json()
    assert {row["role"]: row["signed_by"] for row in shown["final_check"]} == {
        "release_manager": str(world.people["manager"]),
        "operator": str(world.people["operator"]),
    }


def test_freezes_are_listed_with_their_next_time(world: Any, call: Callable[..., Any]) -> None:
    production, moment = Environment.objects.get(slug="production"), now()
    with world.acting_as("manager"):
        one = freeze(
            production.pk,
            name="audit",
            starts_at=moment + timedelta(days=9),
            ends_at=moment + timedelta(days=10),
            reason="audit",
            absolute=True,
        )
        again = freeze_recurring(
            production.pk,
            name="every day",
            rrule="FREQ=DAILY",
            start=time(1),
            length_minutes=60,
            first_day=(moment + timedelta(days=1)).date(),
            last_day=(moment + timedelta(days=30)).date(),
            reason="busy",
            application_id=world.application.pk,
        )
        over = freeze(
            production.pk,
            name="over",
            starts_at=moment - timedelta(days=2),
            ends_at=moment + timedelta(days=1),
            reason="x",
        )
    alter(over, lifted_at=moment)
    found = call("get", "/windows/freezes", {"environment": "production"}).json()
    assert [(row["id"], row["recurring"], row["full"], row["application"]) for row in found] == [
        (again.pk, True, False, "datasets"),
        (one.pk, False, True, None),
    ]
    following = next(span for span in ChangeFreeze.objects.get(pk=again.pk).spans(moment))
    assert found[0]["starts_at"][:16] == following.starts_at.isoformat()[:16]
    assert [row["id"] for row in call("get", "/windows/freezes", {"application": "datasets"}).json()] == [
        again.pk,
        one.pk,
    ]
    assert call("get", "/windows/freezes", {"environment": "development"}).json() == []


def test_figures_count_the_production_deployments_of_the_period(world: Any, call: Callable[..., Any]) -> None:
    deployment = world.scheduled()
    walk(deployment, "enqueue", "start", "start_verification", "start_monitoring", "succeed")
    began = now() - timedelta(hours=1)
    alter(Deployment.objects.get(pk=deployment.pk), started_at=began)
    day = {"since": (began - timedelta(days=1)).isoformat()}
    shown = call("get", "/figures", day).json()
    assert (shown["application"], shown["evaluated"], shown["failed"]) == (None, shown["verified"], 0)
    assert shown["evaluated"] + shown["open"] == 1
    assert call("get", "/figures", day | {"application": "datasets"}).json()["application"] == "datasets"
    assert (
        call("get", "/figures", {"since": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00Z"}).json()["open"] == 0
    )
    for wrong in ({}, {"since": "2020-01-01"}, {"since": "2010-01-01T00:00:00Z"}, {"since": "2999-01-01T00:00:00Z"}):
        assert call("get", "/figures", wrong).status_code == 422, wrong


def test_an_account_of_one_application_names_it(world: Any, call: Callable[..., Any]) -> None:
    from environments.models import AccessGrant

    for grant in AccessGrant.objects.filter(account=world.people["ci"]):
        alter(grant, application=Application.objects.get())
    since = (now() - timedelta(days=1)).isoformat()
    assert call("get", "/figures", {"since": since}).status_code == 422
    assert call("get", "/figures", {"since": since, "application": "datasets"}).status_code == 200
