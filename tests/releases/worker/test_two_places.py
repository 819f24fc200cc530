"""One release, one approval request, two environments of production: the second after the first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.refusals import GateNotPassed, NotPermitted, NotPossible
from environments.models import DeploymentTarget, Environment
from environments.operations.configuration.create import create
from releases.admin.pages.calendar.entries import entries, read
from releases.admin.pages.calendar.month import month
from releases.gates import quorum
from releases.gates.approval import approval_for
from releases.gates.evaluation import blockers, evaluate
from releases.models import ApprovalRequest, Deployment, Procedure, Release
from releases.operations.approval import decide
from releases.operations.approval.submit import submit
from releases.operations.deployment.decide import fail
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.resolve import resolve
from releases.operations.deployment.schedule import cancel, schedule
from releases.operations.deployment.verify import verify
from releases.operations.monitoring.end import record_result
from releases.operations.release.end_incomplete import end_incomplete
from releases.operations.release.sign_final_check import sign
from releases.operations.rollback import decide as rollbacks, start as rollback
from releases.operations.target.retire import retire
from releases.operations.target.set_settings import create_target
from releases.operations.window.request import request_window
from releases.procedures.document import Procedure as Content
from releases.procedures.load import default
from releases.worker.executor import run_from
from tests.conftest import seconded
from tests.releases.gates.asking import alter, communicated, open_to_programs, shown
from tests.releases.operations.test_own_roles import in_effect

from .conftest import TRUE, WORKER, first, plan, row

CONFIRMED = ("data_integrity", "security_settings")


def two_sites(**second: Any) -> Content:
    """The default with a second environment of production, whose rules are those of the first."""
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = "9.0.0", "9.0.0"
    raw["environments"].append(
        raw["environments"][2] | {"key": "site_b", "name_ja": "第二拠点", "name_en": "Site B", "order": 4} | second
    )
    for name in ("accepted_branches", "access"):
        raw[name] += [cell | {"environment": "site_b"} for cell in raw[name] if cell["environment"] == "production"]
    return Content.checked(raw)


@pytest.fixture
def sites(world: Any, tmp_path: Path) -> Any:
    """The world with a target, a configuration and an open window in the second site too."""
    in_effect(world, two_sites(), office="")
    place = world.environments["site_b"] = Environment.objects.get(slug="site_b")
    with world.acting_as("manager"):
        root = tmp_path / "site_b"
        root.mkdir()
        made = create_target(application_id=world.application.pk, environment_id=place.pk, root=str(root), settings={})
        world.targets["site_b"] = seconded(made, world.acting_as)
        world.configurations["site_b"] = create(
            application_id=world.application.pk,
            environment_id=place.pk,
            values={"PORT": "8080"},
            secrets={"PASSWORD": "hidden-b"},
            reason="first",
        )
        window = request_window(
            place.pk,
            application_id=world.application.pk,
            name="site b",
            starts_at=now() - timedelta(minutes=1),
            ends_at=now() + timedelta(hours=3),
            reason="for the test",
        )
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(window.pk, digest=window.digest)
    for name in ("production", "site_b"):
        open_to_programs(world.targets[name], tmp_path)
    return world


@pytest.fixture
def ready(sites: Any) -> Callable[..., Release]:
    """Return a function: a release that is approved for both sites and has its final check."""

    def make(*forward: dict[str, Any]) -> Release:
        release = alter(sites.tested(), step_plan=plan(*forward or (row(TRUE),)))
        with sites.acting_as("manager"):
            approval_request = submit(release.pk)
        for name in ("committee_a", "committee_b"):
            with sites.acting_as(name):
                decide.approve(approval_request.pk, digest=approval_request.digest)
        for name in ("manager", "operator"):
            with sites.acting_as(name):
                sign(release.pk)
        return sites.fresh(release)

    return make


def scheduled(world: Any, release: Release, where: str) -> Deployment:
    """Request and schedule a deployment for now."""
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=world.environments[where].pk)
        schedule(deployment.pk)
    return world.fresh(deployment)


def deployed(world: Any, release: Release, where: str) -> Deployment:
    """Deploy a release to one site, verified by a second operator."""
    deployment = scheduled(world, release, where)
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    if world.fresh(deployment).state == "verifying":
        with world.acting_as("second_operator"):
            verify(deployment.pk, confirmed=CONFIRMED)
    return world.fresh(deployment)


def passed(world: Any, deployment: Deployment) -> None:
    """Let a person record the monitoring of a deployment, which had too few measurements, as passed."""
    period = deployment.monitoring_periods.get(purpose="deployment")
    alter(period, result="inconclusive")
    with world.acting_as("second_operator"):
        record_result(period.pk, result="passed", reason="read by hand")


def test_one_request_decides_about_both_places_in_their_order(sites: Any, ready: Callable[..., Release]) -> None:
    release = ready()
    approval_request = ApprovalRequest.objects.get(release=release)
    (later,) = approval_request.document["later_environments"]
    assert (approval_request.environment, later["environment"]) == (sites.environments["production"], "site_b")
    assert later["window"]["start"] and later["configuration"] and later["target"]
    with sites.acting_as("operator"):
        early = request(release.pk, environment_id=sites.environments["site_b"].pk)
        with pytest.raises(GateNotPassed, match="not been verified in Production"):
            schedule(early.pk)
    with sites.acting_as("operator"):
        cancel(early.pk, reason="too early")
    one = deployed(sites, release, "production")
    assert (one.state, sites.fresh(release).state) == ("monitoring", "releasing")
    assert sites.fresh(approval_request).state == "used"
    assert not [a.reason for a in blockers(sites.fresh(release), sites.environments["site_b"])]
    two = deployed(sites, sites.fresh(release), "site_b")
    assert (two.state, sites.fresh(release).state) == ("monitoring", "monitoring")
    assert two.approval_request == one.approval_request == approval_request


def test_an_approval_is_used_once_in_each_place(sites: Any, ready: Callable[..., Release]) -> None:
    release = ready()
    for where in ("production", "site_b"):
        deployed(sites, sites.fresh(release), where)
    fresh = sites.fresh(release)
    assert approval_for(fresh, sites.environments["site_b"]) is None
    with sites.acting_as("operator"), pytest.raises(NotPossible):
        request(release.pk, environment_id=sites.environments["site_b"].pk)


def test_what_changes_in_the_second_place_ends_its_part_of_the_approval(
    sites: Any, ready: Callable[..., Release]
) -> None:
    release = ready()
    deployed(sites, release, "production")
    reason = [a.reason for a in blockers(sites.fresh(release), sites.environments["site_b"])]
    assert reason == []
    alter(sites.targets["site_b"], root=sites.targets["site_b"].root + "/elsewhere")
    (reason,) = [a.reason for a in blockers(sites.fresh(release), sites.environments["site_b"])]
    assert "later environments" in reason


def test_a_failure_in_the_second_place_leaves_the_first_and_the_release_has_failed(
    sites: Any, ready: Callable[..., Release], tmp_path: Path
) -> None:
    """The same step fails where a file is missing, which lies in the first place only."""
    flag = Path(sites.targets["production"].root) / "here"
    flag.touch()
    release = ready(row(["/usr/bin/test", "-e", "{root}/here"]))
    one = deployed(sites, release, "production")
    assert one.state == "monitoring"
    two = deployed(sites, sites.fresh(release), "site_b")
    assert two.state == "awaiting_decision"
    assert approval_for(sites.fresh(release), sites.environments["site_b"]) is None, "it has been used there"
    with sites.acting_as("second_operator"):
        fail(two.pk, reason="no")
        resolve(two.pk, how="previous", reason="nothing was changed")
    assert sites.fresh(release).state == "failed", "it still runs in the first place"
    with sites.acting_as("second_operator"):
        alarm = rollbacks.raise_(one.pk, cause="performance_drop", note="the lists")
    with sites.acting_as("manager"):
        rollbacks.assess(alarm.pk, impact="all users", method="the whole plan", timing="now")
    with acting(WORKER):
        rollbacks.pre_authorise(alarm.pk, rows={})
    communicated(alarm)
    with sites.acting_as("second_operator"):
        rollbacks.authorise(alarm.pk, digest=shown(alarm))
    with acting(WORKER):
        run_from(rollback.start_rollback(alarm.pk))
    assert (sites.fresh(one).state, sites.fresh(release).state) == ("rolled_back", "rolled_back")


def test_a_release_is_completed_when_the_monitoring_in_each_place_has_ended(
    sites: Any, ready: Callable[..., Release]
) -> None:
    release = ready()
    one = deployed(sites, release, "production")
    passed(sites, one)
    assert (sites.fresh(one).state, sites.fresh(release).state) == ("succeeded", "releasing")
    two = deployed(sites, sites.fresh(release), "site_b")
    assert sites.fresh(release).state == "monitoring"
    passed(sites, two)
    assert sites.fresh(release).state == "completed"


def test_the_first_monitoring_to_end_completes_nothing(sites: Any, ready: Callable[..., Release]) -> None:
    release = ready()
    one, two = (deployed(sites, sites.fresh(release), where) for where in ("production", "site_b"))
    passed(sites, two)
    assert sites.fresh(release).state == "monitoring"
    passed(sites, one)
    assert sites.fresh(release).state == "completed"


def test_a_release_can_end_without_its_remaining_place(sites: Any, ready: Callable[..., Release]) -> None:
    release = ready()
    with sites.acting_as("manager"), pytest.raises(NotPossible, match="under way in production"):
        end_incomplete(release.pk, reason="later perhaps")
    deployed(sites, release, "production")
    waiting = scheduled(sites, sites.fresh(release), "site_b")
    with sites.acting_as("manager"):
        end_incomplete(release.pk, reason="the second site is being moved")
    assert (sites.fresh(release).state, sites.fresh(waiting).state) == ("failed", "cancelled")
    assert approval_for(sites.fresh(release), sites.environments["site_b"]) is None


def test_a_release_for_one_place_cannot_end_like_that(world: Any) -> None:
    release, _request = world.final_checked()
    with world.acting_as("manager"), pytest.raises(NotPossible, match="one environment of production"):
        end_incomplete(release.pk, reason="no")


def test_a_role_must_count_in_each_place(sites: Any) -> None:
    """Somebody who is of the committee for the first place only does not approve for both."""
    release, approval_request = sites.submitted()
    del release
    person = sites.people["committee_b"]
    from environments.models import AccessGrant

    grant = AccessGrant.objects.in_effect().get(account=person, role_id="committee")
    assert person in quorum.candidates(approval_request)
    alter(grant, environment=sites.environments["production"])
    assert person not in quorum.candidates(sites.fresh(approval_request))
    with sites.acting_as("committee_b"), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest)


def test_the_second_place_waits_as_long_as_the_procedure_says(sites: Any, browsers: Any) -> None:
    """Its window is the one that is open then, else the next one: here the recurring one of the procedure."""
    alter(Procedure.objects.get(state="in_effect"), content=two_sites(after_hours=24).model_dump(mode="json"))
    release = sites.planned()
    start, end = release.window_in(sites.environments["site_b"])
    assert start is not None and end is not None and start >= release.scheduled_start_at + timedelta(hours=24)
    assert (end - start, start.astimezone(ZoneInfo("Asia/Tokyo")).hour) == (timedelta(hours=4), 1)
    assert release.window_in(sites.environments["production"]) == (release.scheduled_start_at, release.scheduled_end_at)
    shown = {
        name: [e.start for e in entries(sites.environments[name], read(now()), now()) if release in e.releases]
        for name in ("production", "site_b", "staging")
    }
    assert shown["site_b"] == [start] and start not in shown["production"] and not shown["staging"]
    page = browsers("manager").get(reverse("release", args=[release.pk])).content.decode()
    assert "Site B ·" in page


def test_no_deployment_begins_before_the_window_of_its_place(sites: Any, ready: Callable[..., Release]) -> None:
    release = ready()
    later = [(now() + timedelta(hours=hours)).isoformat() for hours in (1, 2)]
    alter(release, later_windows={"site_b": later})
    asked = evaluate(sites.fresh(release), sites.environments["site_b"])
    (answer,) = [answer for answer in asked if answer.kind == "change_window"]
    assert not answer.passes and "planned for" in answer.reason


def test_the_calendar_shows_the_start_of_each_place_on_its_own_day_and_hour(sites: Any) -> None:
    """Production is in Tokyo, the second site in New York. Where the grid has both, each hour names its zone."""
    alter(Procedure.objects.get(state="in_effect"), content=two_sites(after_hours=24).model_dump(mode="json"))
    site_b = alter(sites.environments["site_b"], zone="America/New_York")
    production, release = sites.environments["production"], sites.planned()
    due = release.milestones.exclude(guards="start").last().due_at.astimezone(ZoneInfo(production.zone))
    for places, zone in (([production, site_b], " %Z"), ([production], ""), ([site_b], " %Z")):
        marks = [mark for mark in marks_of(places) if mark[1] in ("release", "milestone")]
        starts = [release.window_in(place)[0].astimezone(ZoneInfo(place.zone)) for place in places]
        found = {(day, hour) for day, kind, hour in marks if kind == "release"}
        assert found == {(at.date(), at.strftime(f"%H:%M{zone}")) for at in starts}
        assert (due.date(), "milestone", due.strftime(f"%H:%M{zone}")) in marks


def test_the_calendar_shows_a_release_whose_application_has_no_target_in_production_any_more(sites: Any) -> None:
    alter(Procedure.objects.get(state="in_effect"), content=two_sites(after_hours=24).model_dump(mode="json"))
    places, release = [sites.environments["production"], sites.environments["site_b"]], sites.planned()
    for target in DeploymentTarget.objects.filter(environment__in=places):
        with sites.acting_as("operator"):
            requested = retire(target.pk, reason="moved")
        seconded(requested, sites.acting_as)
    assert not DeploymentTarget.objects.filter(environment__in=places).exists()
    start = release.window_in(places[1])[0].astimezone(ZoneInfo(places[1].zone))
    marks = marks_of(places)
    assert (start.date(), "release", start.strftime("%H:%M")) in marks and "milestone" in {mark[1] for mark in marks}


def marks_of(places: list[Environment]) -> list[tuple[date, str, str]]:
    """Return day, kind and hour of each mark of this month and the next one."""
    first = now().date().replace(day=1)
    grids = [
        month(one, places, read(now()), now(), may_plan=False, seen=None)
        for one in (first, (first + timedelta(days=32)).replace(day=1))
    ]
    days = [day for grid in grids for week in grid.weeks for day in week if day.inside]
    return [(day.day, mark.kind, mark.hour) for day in days for mark in day.marks]
