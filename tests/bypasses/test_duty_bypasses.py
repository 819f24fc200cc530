"""Ways round the separation of duties: by a service account, by the order of two operations, by a colleague's small
edit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments.access_as_of import AccessAsOf
from environments.models import DeploymentTarget, RequestedChange
from environments.operations.access.grant import request_role as grant
from environments.operations.configuration.create import create as configure
from environments.operations.requested_change.decide import confirm_change, reject_change
from environments.operations.window.create_freeze import freeze
from releases.gates import authorship
from releases.metric_sources.collection import USUAL
from releases.models import (
    ApprovalRequest,
    DeployedVersion,
    Deployment,
    Document,
    MonitoringPeriod,
    Release,
    Rollback,
    Step,
)
from releases.operations.approval import decide as approvals
from releases.operations.approval.submit import submit
from releases.operations.deployment.request import request
from releases.operations.deployment.resolve import resolve
from releases.operations.deployment.schedule import schedule
from releases.operations.document import review
from releases.operations.release import reschedule
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.release.sign_final_check import sign
from releases.operations.step import resume
from releases.operations.target.set_settings import set_hosts, set_metric_sources, set_settings
from releases.operations.waiver import decide as waivers
from releases.operations.waiver.request import request_waiver
from releases.reporting.audit_tests.segregation_of_duties import Authors, duties_of
from tests.bypasses.test_approval_bypasses import approved, say_yes, scheduled, submitted
from tests.conftest import seconded
from tests.releases.gates.asking import COMMAND, alter, ask as answer, make, walk
from tests.scenarios.stock import Stock


def also(stock: Stock, name: str, role: str) -> None:
    """Give somebody one more role."""
    with acting(COMMAND):
        grant(stock.world.people[name].pk, role=role, reason="two hats")


def confirmed(stock: Stock) -> Release:
    """Return a release with approval of two and its final check."""
    release, _request = approved(stock)
    for name in ("manager", "operator"):
        with stock.world.acting_as(name):
            sign(release.pk)
    return Release.objects.get(pk=release.pk)


def test_the_requester_of_a_deployment_that_ci_started_is_its_starter(stock: Stock) -> None:
    """The requester neither decides nor resolves it, and is named in the saved test; another person does."""
    world, release = stock.world, confirmed(stock)
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=world.environments["production"].pk)
    with world.acting_as("ci"):
        schedule(deployment.pk)
    deployment = walk(Deployment.objects.get(pk=deployment.pk), "enqueue", "start", "await_decision")
    step = make(
        Step,
        deployment=deployment,
        phase="deployment",
        ordinal=1,
        parameters={},
        step_type="command",
        label_ja="a",
        label_en="a",
    )
    assert deployment.scheduled_by == world.people["ci"]
    with (
        world.acting_as("operator"),
        pytest.raises(NotPermitted, match="You have scheduled this deployment; another person must decide"),
    ):
        resume.skip(step.pk, reason="mine")
    walk(deployment, "fail")
    with (
        world.acting_as("operator"),
        pytest.raises(NotPermitted, match="You have scheduled this deployment; another person must resolve it"),
    ):
        resolve(deployment.pk, how="unknown", reason="mine")
    assert (
        world.people["operator"]
        in duties_of(deployment, Authors(AccessAsOf(), Release.objects.filter(pk=deployment.release_id).values("pk")))[
            "starter"
        ]
    )
    assert authorship.excluded(release)[world.people["operator"].person_key] == "starter"
    with world.acting_as("second_operator"):
        resolve(deployment.pk, how="unknown", reason="looked")


def test_an_approver_does_not_have_ci_start_what_they_requested(stock: Stock) -> None:
    world = stock.world
    also(stock, "committee_a", "operator")
    release = confirmed(stock)
    with world.acting_as("committee_a"):
        deployment = request(release.pk, environment_id=world.environments["production"].pk)
    with world.acting_as("ci"), pytest.raises(NotPermitted, match="has approved this release"):
        schedule(deployment.pk)
    with world.acting_as("operator"):
        schedule(deployment.pk)


@pytest.mark.parametrize("way", ["approves", "proposes", "has requested"])
def test_an_approver_waives_nothing_of_the_release(stock: Stock, way: str) -> None:
    """Neither order of the two operations leaves one person in both parts."""
    world = stock.world
    also(stock, "committee_a", "project_manager" if way == "approves" else "release_manager")
    release, approval_request = submitted(stock)
    if way != "has requested":
        say_yes(stock, approval_request, "committee_a")
    asked = {
        "environment_id": world.environments["production"].pk,
        "gate": f"milestone:{release.milestones.get(guards='complete_final_check').key}",
        "until": now() + timedelta(hours=1),
        "reason": "late",
    }
    if way == "proposes":
        with world.acting_as("committee_a"), pytest.raises(NotPermitted, match="made an approval decision"):
            request_waiver(release.pk, **asked)
    with world.acting_as("committee_a" if way == "has requested" else "manager"):
        row = request_waiver(release.pk, **asked)
    if way == "has requested":
        say_yes(stock, approval_request, "committee_a")
        with world.acting_as("project_manager"), pytest.raises(NotPermitted, match="made an approval decision"):
            waivers.approve(row.pk)
        return
    if way == "approves":
        with world.acting_as("committee_a"), pytest.raises(NotPermitted, match="made an approval decision"):
            waivers.approve(row.pk)
    with world.acting_as("project_manager"):
        waivers.approve(row.pk)


def test_a_deployment_that_waited_past_its_window_or_into_a_freeze_does_not_go_on(stock: Stock) -> None:
    """Only back; within the window, with time for the rollback, it goes on. After a skipped step the next one asks
    itself.
    """
    world = stock.world
    _release, _request, deployment = scheduled(stock)
    deployment = walk(deployment, "enqueue", "start", "await_decision")
    fields = {
        "deployment": deployment,
        "phase": "deployment",
        "parameters": {},
        "step_type": "command",
        "label_ja": "a",
        "label_en": "a",
    }
    failed = make(Step, **fields, ordinal=1, required=False, estimate_seconds=60)
    make(Step, **fields, ordinal=2, estimate_seconds=60)
    walk(failed, "mark_ready", "claim", "fail")
    release = Release.objects.get(pk=deployment.release_id)
    back = sum(
        row["estimate_seconds"] for phase in ("rollback", "rollback_verification") for row in release.step_plan[phase]
    )
    end = release.scheduled_end_at
    for left in (back + 50, -60):
        alter(release, scheduled_end_at=now() + timedelta(seconds=left))
        with world.acting_as("second_operator"), pytest.raises(GateNotPassed, match="no longer fit before"):
            resume.retry(failed.pk, reason="again")
    with world.acting_as("second_operator"), pytest.raises(GateNotPassed, match="no longer fit before"):
        resume.skip(failed.pk, reason="without it")
    alter(release, scheduled_end_at=end)
    with world.acting_as("manager"):
        kept = freeze(
            deployment.environment_id,
            name="year end",
            starts_at=now() - timedelta(minutes=1),
            ends_at=now() + timedelta(days=9),
            absolute=True,
            reason="year end",
        )
    with world.acting_as("second_operator"), pytest.raises(GateNotPassed, match="year end"):
        resume.retry(failed.pk, reason="again")
    alter(kept, ends_at=now() - timedelta(seconds=1))
    with world.acting_as("second_operator"):
        resume.retry(failed.pk, reason="again")
    assert world.fresh(deployment).state == "running"


def test_the_author_of_a_secret_is_kept_out_although_a_colleague_made_the_next_version(stock: Stock) -> None:
    """Editors of all versions since the deployed one count; earlier edits do not."""
    world = stock.world
    production = world.environments["production"]
    place = {"application_id": world.application.pk, "environment_id": production.pk}
    release, person = stock.take(), world.people["committee_a"].person_key
    also(stock, "committee_a", "operator")
    with world.acting_as("committee_a"):
        written = configure(**place, values={"PORT": "1"}, secrets={"TOKEN": "his own"}, reason="his")
    with world.acting_as("second_operator"):
        last = configure(**place, values={"PORT": "2"}, secrets={"TOKEN": ""}, reason="a port")
    release = alter(release, configurations={**release.configurations, "production": last.pk})
    assert authorship.excluded(release)[person] == "editor"
    pointer = make(DeployedVersion, **place, release=release, configuration=written, since=now(), basis="verified")
    assert person not in authorship.excluded(release)
    alter(pointer, basis=DeployedVersion.REQUESTED)
    assert authorship.excluded(release)[person] == "editor", "a proposal puts nothing in force"
    with world.acting_as("second_operator"):
        higher = configure(**place, values={"PORT": "3"}, secrets={}, reason="newer")
    alter(pointer, basis="verified", configuration=higher)
    assert authorship.excluded(release)[person] == "editor", "an older version brings what never was in force"


def test_the_starter_never_sets_how_their_deployment_is_monitored(stock: Stock) -> None:
    world = stock.world
    _release, _request, deployment = scheduled(stock)
    target, sources = world.targets["production"].pk, [dict(row) for row in USUAL]
    for edge in ("", "enqueue", "start", "start_verification"):
        deployment = walk(deployment, edge) if edge else deployment
        with world.acting_as(deployment.scheduled_by.username), pytest.raises(NotPermitted, match="another person"):
            set_metric_sources(target, sources=sources, reason="another page")
    other = "manager" if deployment.scheduled_by.username != "manager" else "operator"
    with world.acting_as(other):
        requested = set_metric_sources(target, sources=sources, reason="another page")
    with world.acting_as(deployment.scheduled_by.username), pytest.raises(NotPermitted, match="another person"):
        confirm_change(requested.pk)
    walk(deployment, "start_monitoring", "succeed")
    with world.acting_as(deployment.scheduled_by.username):
        confirm_change(requested.pk)


def test_a_target_keeps_its_commands_until_its_deployment_is_over(stock: Stock) -> None:
    """Not while a deployment there is scheduled, under way, monitored or rolled back; hosts are no way round."""
    world = stock.world
    _release, given, deployment = scheduled(stock)
    row = world.targets["production"]
    changed = {**row.options, "migrate": ["{tree}/migrate", "--other"]}

    def again(name: str = "operator", reason: str = "another command") -> Any:
        with world.acting_as(name):
            return set_settings(row.pk, root=row.root, settings=changed, reason=reason)

    for edge in ("", "enqueue", "start", "start_verification"):
        deployment = walk(deployment, edge) if edge else deployment
        with pytest.raises(GateNotPassed, match="has not ended. The deployment target cannot be changed"):
            again()
        with (
            world.acting_as("operator"),
            pytest.raises(GateNotPassed, match="has not ended. The deployment target cannot be changed"),
        ):
            set_hosts(row.pk, hosts=["hooks.example"], reason="one more")
    walk(deployment, "start_monitoring")
    monitoring = make(
        MonitoringPeriod,
        deployment=deployment,
        interval_seconds=60,
        duration_seconds=3600,
        started_at=now(),
        triggers=[],
    )
    with pytest.raises(GateNotPassed, match="has not ended. The deployment target cannot be changed"):
        again()
    walk(deployment, "succeed")
    alter(monitoring, ended_at=now())
    walk(given, "use")
    back = make(Rollback, deployment=deployment, cause="major_failure", raised_at=now())
    with pytest.raises(GateNotPassed, match="has not ended. The deployment target cannot be changed"):
        again()
    walk(back, "dismiss")
    with world.acting_as("operator"):
        hosts = set_hosts(row.pk, hosts=["hooks.example"], reason="one more")
    seconded(hosts, world.acting_as)
    seconded(again(), world.acting_as)
    assert world.fresh(row).options == changed | {"http_hosts": ["hooks.example"]}
    with pytest.raises(NotPermitted):
        again("developer")
    for root in (row.root, f"{row.root}/inner", str(Path(row.root).parent)):
        staging = world.targets["staging"]
        with (
            world.acting_as("operator"),
            pytest.raises(InvalidInput, match="Another deployment target is already there"),
        ):
            set_settings(staging.pk, root=root, settings=staging.options, reason="to production's folder")
    with pytest.raises(InvalidInput, match="Enter a reason"):
        again(reason=" ")


def test_one_person_changes_nothing_that_production_runs(stock: Stock) -> None:
    """Settings, hosts and monitoring sources wait for another person; a folder that changed meanwhile is requested
    again.
    """
    world = stock.world
    row = world.targets["production"]
    was = (row.root, row.options)
    calls: list[Callable[[], Any]] = [
        lambda: set_settings(row.pk, root=row.root, settings={"migrate": ["/bin/sh", "-c", "id"]}, reason="quick"),
        lambda: set_hosts(row.pk, hosts=["attacker.example"], reason="quick"),
        lambda: set_metric_sources(row.pk, sources=[dict(one) for one in USUAL], reason="quick"),
    ]
    for call in calls:
        with world.acting_as("operator"):
            requested = call()
            with pytest.raises(NotPermitted, match="Another person must confirm this change: neither the requester"):
                confirm_change(requested.pk)
        with world.acting_as("developer"), pytest.raises(NotPermitted):
            confirm_change(requested.pk)
        assert (world.fresh(row).root, world.fresh(row).options) == was
    with world.acting_as("manager"):
        confirm_change(requested.pk)
        with pytest.raises(NotPossible, match="already"):
            reject_change(requested.pk, reason="too late")
    assert world.fresh(row).options == {"metric_sources": [dict(one) for one in USUAL], "private_networks": []}
    older = RequestedChange.objects.filter(decided_at=None).order_by("pk")
    with (
        world.acting_as("manager"),
        pytest.raises(GateNotPassed, match="The data changed after this change was requested"),
    ):
        confirm_change(older[0].pk)
    with world.acting_as("operator"):
        reject_change(older[0].pk, reason="not needed")
    with world.acting_as("operator"):
        free = set_settings(world.targets["staging"].pk, root=row.root + "-s", settings={}, reason="one is enough here")
    assert isinstance(free, DeploymentTarget)


def test_a_folder_under_another_name_is_no_second_target(stock: Stock, tmp_path: Path) -> None:
    """Through a link or /proc a development target would run on production's folder by development's rules."""
    world = stock.world
    staging, production = world.targets["staging"], world.targets["production"]
    (link := tmp_path / "link").symlink_to(production.root)
    for root in (link, link / "inner", Path(f"/proc/self/root{production.root}")):
        with (
            world.acting_as("operator"),
            pytest.raises(InvalidInput, match="Another deployment target is already there"),
        ):
            set_settings(staging.pk, root=str(root), settings={}, reason="to production's folder")
    here = {"host": "127.0.0.1", "user": "deploy", "known_hosts": "127.0.0.1 ssh-ed25519 AAAA"}
    with world.acting_as("operator"), pytest.raises(InvalidInput, match="Another deployment target is already there"):
        set_settings(staging.pk, root=production.root, settings={"ssh": here}, reason="over the loopback")


def test_a_change_of_the_target_invalidates_what_was_approved(stock: Stock) -> None:
    """Its commands, its hosts, its folder: the gate closes at once, the poll ends the approval and names the target."""
    world = stock.world
    release = confirmed(stock)
    row, place = world.targets["production"], world.environments["production"]
    approval_request = ApprovalRequest.objects.get(release=release)
    assert answer(world, release, "approval").result == "passed"
    with world.acting_as("operator"):
        requested = set_hosts(row.pk, hosts=["hooks.example"], reason="one more")
    assert answer(world, release, "approval").result == "passed", "a change that is only requested changes nothing"
    seconded(requested, world.acting_as)
    assert "deployment target" in answer(world, release, "approval").reason
    with acting(COMMAND):
        assert invalidate_stale() == [release.pk]
    ended = ApprovalRequest.objects.get(pk=approval_request.pk)
    assert (ended.state, ended.invalidated_by) == ("invalidated", "target") and place.protected


def test_the_scheduler_of_a_deployment_is_no_approver(stock: Stock) -> None:
    world = stock.world
    also(stock, "committee_a", "project_manager")
    release = stock.take()
    with world.acting_as("committee_a"):
        reschedule.set_scheduled_start(release.pk, start=release.scheduled_start_at)
    with world.acting_as("manager"):
        approval_request = submit(release.pk)
    with world.acting_as("committee_a"), pytest.raises(NotPermitted, match="edited"):
        approvals.approve(approval_request.pk, digest=approval_request.digest)


def test_an_author_of_a_document_does_not_check_it(stock: Stock) -> None:
    """Another's comma does not make it another's text."""
    world = stock.world
    release = stock.take()
    document: Any = release.documents.get(kind=Document.Kind.RELEASE_NOTES)
    for name, text in (("developer", "all of it"), ("manager", "all of it,")):
        with world.acting_as(name):
            document = review.write(document.pk, body=text)
    digest = review.digest_of(document)
    for name in ("developer", "manager"):
        with (
            world.acting_as(name),
            pytest.raises(NotPermitted, match="A different person from the one before must do this"),
        ):
            review.check_content(document.pk, digest=digest)
    with world.acting_as("tester"):
        review.check_content(document.pk, digest=digest)
