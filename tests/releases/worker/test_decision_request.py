"""A waiting deployment asks its team member by member until a deadline; then the approved default applies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import translation

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from environments.times import shown
from releases.admin.components.formatting import when
from releases.jobs import prepare_rollback
from releases.models import DecisionRequest, Deployment, Rollback
from releases.operations.decision_request.escalate import LEAST, escalate_or_expire, escalation_level
from releases.operations.deployment import decide
from releases.operations.deployment.enqueue import enqueue
from releases.operations.rollback import decide as rollbacks
from releases.operations.rollback.confirm_late import digest_of
from releases.operations.step import resume
from releases.queries.decision_request import last_rollback_start
from releases.queries.rollback_authorisation import authorisation
from releases.queries.rollback_causes import NO_RESPONSE
from releases.worker.executor import run_from
from tests.releases.api.conftest import ask, managing
from tests.releases.gates.asking import alter, communicated

from .conftest import TRUE, WORKER, first, jobs, row, states

__all__ = ["managing"]
MINUTES = timedelta(minutes=15)


@pytest.fixture
def waiting(world: Any, approved_deployment: Callable[..., Deployment]) -> Callable[..., Deployment]:
    """Return a function: a deployment to production whose first step has failed, so that it asks."""

    def make(*, after: tuple[dict[str, Any], ...] = (), before: tuple[dict[str, Any], ...] = ()) -> Deployment:
        deployment = approved_deployment(*before, row(["/bin/false"]), row(TRUE), *after)
        with acting(WORKER):
            enqueue(deployment.pk)
            run_from(first(deployment).pk)
        assert world.fresh(deployment).state == "awaiting_decision"
        return world.fresh(deployment)

    return make


def at(moment: datetime) -> None:
    with acting(WORKER):
        escalate_or_expire(moment)


def asked(event: Any) -> list[str]:
    return [name.split(":")[0] for name in event.contents["after"]["asked"]]


def test_a_waiting_deployment_asks_the_first_of_its_team(world: Any, waiting: Callable[..., Deployment]) -> None:
    deployment = waiting()
    decision_request = DecisionRequest.objects.get(deployment=deployment)
    assert (
        decision_request.step == first(deployment)
        and decision_request.on_timeout == deployment.approval_request.document["on_timeout"] == "roll_back"
    )
    assert decision_request.due_at - decision_request.requested_at == MINUTES, "the procedure's minutes"
    event = Event.objects.filter(kind="operation", operation="step:fail").get()
    assert asked(event) == ["Verifier"]


def test_the_next_member_is_asked_and_each_is_asked_once(world: Any, waiting: Callable[..., Deployment]) -> None:
    decision_request = DecisionRequest.objects.get(deployment=waiting())
    begun = decision_request.requested_at
    for minutes, expected in ((4, 1), (5, 2), (6, 2), (10, 3), (14, 3)):
        assert escalation_level(decision_request, begun + timedelta(minutes=minutes)) == expected
        at(begun + timedelta(minutes=minutes))
        assert world.fresh(decision_request).roles_asked == expected
    events = Event.objects.filter(kind="operation", operation="decision_request:escalate").order_by("at")
    assert [asked(event) for event in events] == [["Release lead"], ["Rollback decision maker"]]
    assert world.fresh(decision_request).answered_at is None


def test_an_overslept_request_asks_all_due_members(world: Any, waiting: Callable[..., Deployment]) -> None:
    decision_request = DecisionRequest.objects.get(deployment=waiting())
    at(decision_request.requested_at + timedelta(minutes=11))
    assert world.fresh(decision_request).roles_asked == 3
    assert len(asked(Event.objects.get(kind="operation", operation="decision_request:escalate"))) == 2


def test_an_answer_ends_the_request(world: Any, waiting: Callable[..., Deployment]) -> None:
    deployment = waiting()
    with world.acting_as("second_operator"):
        resume.retry(first(deployment).pk, reason="repaired")
    decision_request = DecisionRequest.objects.get(deployment=deployment)
    assert (decision_request.answer, decision_request.answered_by.username) == ("step:retry", "second_operator")
    at(decision_request.due_at + timedelta(hours=1))
    assert not Rollback.objects.exists() and world.fresh(deployment).state == "running"


@pytest.mark.parametrize("end", ["fail", "stop"])
def test_marking_as_failed_and_stopping_are_answers_too(
    world: Any, waiting: Callable[..., Deployment], end: str
) -> None:
    deployment = waiting()
    with world.acting_as("second_operator"):
        getattr(decide, end)(deployment.pk, reason="hopeless")
    assert DecisionRequest.objects.get(deployment=deployment).answer == f"deployment:{end}"


def test_a_refused_answer_leaves_the_request_open(world: Any, waiting: Callable[..., Deployment]) -> None:
    from audit.refusals import NotPermitted

    deployment = waiting()
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        resume.retry(first(deployment).pk, reason="my own")
    assert DecisionRequest.objects.get(deployment=deployment).answered_at is None


def test_an_unanswered_deployment_is_rolled_back_as_approved(
    world: Any, waiting: Callable[..., Deployment], valkey: Any
) -> None:
    deployment = waiting()
    decision_request = DecisionRequest.objects.get(deployment=deployment)
    at(decision_request.due_at - timedelta(seconds=1))
    assert not Rollback.objects.exists()
    valkey.flushdb()
    at(decision_request.due_at)
    rollback = Rollback.objects.get(deployment=deployment)
    assert (rollback.cause, rollback.raised_by, rollback.critical) == ("no_response", None, True)
    closed = world.fresh(decision_request)
    assert (closed.answer, closed.answered_by) == ("roll_back", None)
    assert ("releases.jobs.prepare_rollback", {"rollback_id": rollback.pk}) in jobs("production")
    prepare_rollback(rollback.pk)
    assert world.fresh(deployment).state in ("rolling_back", "rolled_back")
    assert set(deployment.steps.filter(phase="rollback").values_list("state", flat=True)) == {"succeeded"}
    assert Event.objects.filter(kind="operation", operation="rollback:apply_pre_authorisation").exists(), (
        "the approval authorised it"
    )


def test_the_page_and_the_print_show_that_no_one_responded(
    world: Any, waiting: Callable[..., Deployment], browsers: Callable[[str], Any]
) -> None:
    """The page and the report name the deadline and the approved default, in both languages."""
    decision_request = DecisionRequest.objects.get(deployment=waiting())
    at(decision_request.due_at)
    rollback = Rollback.objects.get(deployment=decision_request.deployment)
    pages, client = (
        [reverse(name, args=[rollback.pk]) for name in ("rollback", "rollback-report")],
        browsers("operator"),
    )
    assert all("was taken" not in client.get(page).content.decode() for page in pages), "not yet"
    prepare_rollback(rollback.pk)
    zone = decision_request.deployment.environment.zone
    for language, words, who in (
        (
            "en",
            "the approved default (roll back), because no one responded by %s",
            "a decision request without a response in time",
        ),
        (
            "ja",
            "期限（%s）までに応答がなかったため、承認時に合意した既定の扱い（ロールバック）を適用",
            "判断依頼（期限までに応答なし）",
        ),
    ):
        client.cookies["django_language"] = language
        with translation.override(language):
            said = words % shown(decision_request.due_at, zone)
        for page in pages:
            html = client.get(page).content.decode()
            assert said in html and who in html, (language, page)
    let = authorisation(world.fresh(rollback))
    assert let is not None and let.at is not None and let.at >= rollback.raised_at


def test_the_deciding_person_is_named_with_the_time(
    world: Any, waiting: Callable[..., Deployment], browsers: Callable[[str], Any]
) -> None:
    deployment = waiting()
    with world.acting_as("second_operator"):
        rollback = rollbacks.raise_(deployment.pk, cause="major_failure", note="it stands still")
    with world.acting_as("manager"):
        rollbacks.assess(rollback.pk, impact="x", method="x", timing="x")
    alter(rollback, facts={"rows": {}, "rows_total": 0})
    communicated(rollback)
    with world.acting_as("second_operator"):
        rollbacks.authorise(rollback.pk, digest=digest_of(world.fresh(rollback)))
    let = authorisation(world.fresh(rollback))
    assert let is not None and let.words == "Second Operator" and let.at is not None
    for name in ("rollback", "rollback-report"):
        html = browsers("auditor").get(reverse(name, args=[rollback.pk])).content.decode()
        assert "approved default" not in html and "pre-authorisation in the approval request" not in html
        assert "Second Operator" in html
    assert when(let.at, deployment.environment.zone) in html


def test_a_poll_that_died_between_alarm_and_expiry_is_made_good(world: Any, waiting: Callable[..., Deployment]) -> None:
    deployment = waiting()
    decision_request = DecisionRequest.objects.get(deployment=deployment)
    with acting(WORKER):
        rollbacks.raise_(deployment.pk, cause=NO_RESPONSE, note="died then")
    at(decision_request.due_at)
    at(decision_request.due_at)
    assert Rollback.objects.count() == 1 and world.fresh(decision_request).answer == "roll_back"


@pytest.mark.parametrize("assessed", [False, True])
def test_an_alarm_raised_by_a_person_is_rolled_back_too_without_a_response(
    world: Any, waiting: Callable[..., Deployment], assessed: bool
) -> None:
    """A person who raised it at once must not be worse off; before the time is over a person decides."""
    deployment = waiting()
    decision_request = DecisionRequest.objects.get(deployment=deployment)
    with world.acting_as("second_operator"):
        rollback = rollbacks.raise_(deployment.pk, cause="major_failure")
    prepare_rollback(rollback.pk)
    assert world.fresh(rollback).state == "raised"
    if assessed:
        with world.acting_as("manager"):
            rollbacks.assess(rollback.pk, impact="all", method="whole plan", timing="now")
    at(decision_request.due_at)
    assert world.fresh(decision_request).answer == "roll_back"
    assert "rows_total" not in world.fresh(rollback).facts, "counted again"
    prepare_rollback(rollback.pk)
    assert world.fresh(deployment).state in ("rolling_back", "rolled_back")
    assert world.fresh(rollback).authorised_by is None


def test_the_default_loses_no_more_rows_than_approved(world: Any, waiting: Callable[..., Deployment]) -> None:
    deployment = waiting()
    at(DecisionRequest.objects.get(deployment=deployment).due_at)
    rollback = Rollback.objects.get(deployment=deployment)
    with acting(WORKER):
        assert not rollbacks.pre_authorise(rollback.pk, rows={"dataset": 1})
    assert (world.fresh(rollback).state, world.fresh(deployment).state) == ("raised", "awaiting_decision"), (
        "a person decides"
    )


def test_the_default_does_nothing_after_a_person_dismissed_the_alarm(
    world: Any, waiting: Callable[..., Deployment]
) -> None:
    deployment = waiting()
    at(DecisionRequest.objects.get(deployment=deployment).due_at)
    with acting(WORKER):
        assert not rollbacks.pre_authorise(Rollback.objects.get(deployment=deployment).pk, rows={"dataset": 1})
    with world.acting_as("manager"):
        rollbacks.dismiss(Rollback.objects.get(deployment=deployment).pk, reason="the step can be tried again")
    with world.acting_as("second_operator"):
        another = rollbacks.raise_(deployment.pk, cause="major_failure")
    with acting(WORKER):
        assert not rollbacks.pre_authorise(another.pk, rows={})
    assert world.fresh(another).state == "raised", "a person decides"


def test_a_person_cannot_state_the_self_authorising_cause(world: Any, waiting: Callable[..., Deployment]) -> None:
    from audit.refusals import InvalidInput

    deployment = waiting()
    with world.acting_as("second_operator"), pytest.raises(InvalidInput):
        rollbacks.raise_(deployment.pk, cause=NO_RESPONSE)
    with world.acting_as("second_operator"):
        named = rollbacks.raise_(deployment.pk, cause="major_failure")
    with acting(WORKER):
        assert not rollbacks.pre_authorise(named.pk, rows={})


def test_a_deployment_stays_where_keeping_was_approved(world: Any, waiting: Callable[..., Deployment]) -> None:
    deployment = waiting()
    decision_request = alter(DecisionRequest.objects.get(deployment=deployment), on_timeout="keep")
    at(decision_request.due_at)
    assert world.fresh(decision_request).answer == "keep" and not Rollback.objects.exists()
    stays = world.fresh(deployment)
    assert stays.state == "awaiting_decision" and "stays as it is" in stays.blockers[0]
    with world.acting_as("second_operator"):
        resume.retry(first(deployment).pk, reason="late, but still")
    assert world.fresh(deployment).state == "running"


def test_the_answer_is_due_before_the_rollback_no_longer_fits(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(row(["/bin/false"]), row(TRUE))
    back = last_rollback_start(deployment)
    assert back == deployment.scheduled_end_at - timedelta(seconds=2), "two steps of a second each"
    alter(deployment, scheduled_end_at=now() + timedelta(minutes=5, seconds=2))
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    decision_request = DecisionRequest.objects.get(deployment=deployment)
    assert timedelta(minutes=4) < decision_request.due_at - decision_request.requested_at <= timedelta(minutes=5)


def test_a_late_member_has_at_least_a_minute(
    world: Any, approved_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    deployment = approved_deployment(row(["/bin/false"]), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
    alter(deployment, scheduled_end_at=now() + timedelta(seconds=1))
    with acting(WORKER):
        run_from(first(deployment).pk)
    decision_request = DecisionRequest.objects.get(deployment=deployment)
    assert decision_request.due_at - decision_request.requested_at == LEAST


def test_a_second_unknown_outcome_is_a_second_decision_request(world: Any, waiting: Callable[..., Deployment]) -> None:
    deployment = waiting()
    with world.acting_as("second_operator"):
        resume.retry(first(deployment).pk, reason="again")
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert list(DecisionRequest.objects.order_by("pk").values_list("answer", flat=True)) == ["step:retry", ""]


def test_lower_tiers_make_no_decision_request(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(["/bin/false"]))
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, states(deployment)[0]) == (
        "failed",
        "failed",
    ) and not DecisionRequest.objects.exists()


def test_the_page_names_the_contact_the_deadline_and_the_default(
    world: Any, waiting: Callable[..., Deployment], browsers: Callable[[str], Any], managing: str
) -> None:
    deployment = waiting()
    address = reverse("deployment", args=[deployment.pk])
    html = browsers("second_operator").get(address).content.decode()
    assert "data-decision-request" in html and "+81-3-0000-0000" in html
    assert "if no one responds: roll back" in html
    assert "+81-3-0000-0000" not in browsers("developer").get(address).content.decode()
    work = browsers("second_operator").get(reverse("admin:index")).content.decode()
    assert "Decide how to continue" in work
    answer = ask("get", f"/deployments/{deployment.pk}", token=managing).json()["decision_request"]
    assert answer["on_timeout"] == "roll_back" and answer["asked"] == ["Verifier: Second Operator"]
