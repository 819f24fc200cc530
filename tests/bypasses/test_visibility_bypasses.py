"""A search does not disclose what a reader may not see, and the log of a deployment stays with those who may read
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db import connection
from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.ledger.link import link_pending
from audit.models import Event
from audit.operation import operation
from environments.admin import SeenOnly
from environments.models import DeploymentTarget
from environments.operations.configuration.create import create
from releases.admin.components.visibility import SEEN_ONLY
from releases.models import DeployedVersion, Drift, MonitoringPeriod, Step, StepAttempt, StepOutput
from releases.operations.rollback import decide
from releases.operations.rollback.complete_manually import draft_documents
from releases.operations.step import outcome
from tests.releases.gates.asking import COMMAND, alter, make, walk

Browsers = Callable[[str], Any]


def found(client: Any, **asked: str) -> tuple[int, int]:
    """Return how many events the timeline shows, and how many it counts."""
    page = client.get(reverse("timeline"), {"count": "1", **asked})
    return len(page.context["happenings"]), page.context["counted"]


def test_a_search_discloses_nothing_of_hidden_configuration(world: Any, browsers: Browsers) -> None:
    """A reader without access to a configuration finds nothing by its values, in its history or anywhere; an overseer
    does.
    """
    kept = {}
    for place in ("production", "development"):
        with world.acting_as("manager"):
            made = create(
                application_id=world.application.pk,
                environment_id=world.environments[place].pk,
                values={"INTERNAL_HOST": f"{place}7.corp.example"},
                secrets={},
                reason="a new host",
            )
        kept[place] = f"environments.ConfigurationVersion:{made.pk}"
    developer, manager = browsers("developer"), browsers("manager")
    for object in (kept["production"], "environments.ConfigurationVersion", ""):
        assert found(developer, object=object, words="production7.c") == (0, 0)
        assert min(found(manager, object=object, words="production7.c")) > 0
    assert min(found(developer, words="development7.c")) > 0, "he reads that one"
    assert min(found(developer, object=kept["production"])) > 0, "that something happened is no secret"


def test_what_a_page_hides_is_hidden_in_its_history(world: Any, browsers: Browsers) -> None:
    """Monitoring, deployed versions and drift of an environment that the reader does not see, in each kind of history;
    and every list that hides rows does so too.
    """
    deployment = alter(walk(world.scheduled(), "enqueue", "start"), started_at=now())
    sql = {"key": "totals", "kind": "sql", "parameters": {"statement": "SELECT 'HIDDEN-Zq7x'"}}
    times = {"interval_seconds": 30, "duration_seconds": 60, "started_at": now()}
    place = {"application": world.application, "environment": deployment.environment}
    target = DeploymentTarget.objects.get(**place)
    digests = {"code": "HIDDEN-Zq7x"}
    rows = [
        make(MonitoringPeriod, deployment=deployment, checks=[sql], **times),
        make(Drift, target=target, parts=["code"], expected=digests, found=digests, found_at=now()),
        make(DeployedVersion, **place, code="HIDDEN-Zq7x", configuration_digest="c" * 64, since=now()),
    ]
    link_pending(connection)
    for row in rows:
        label = f"{row._meta.label}:{row.pk}"
        (number,) = Event.objects.filter(object=label, kind="row").values_list("ledger_entry__number", flat=True)
        pages = [f"{reverse(name)}?object={label}" for name in ("timeline", "as-of")]
        pages += [reverse("event", args=[number]), reverse("timeline")]
        shown = {
            name: ["Zq7x" in browsers(name).get(page).content.decode() for page in pages]
            for name in ("developer", "operator")
        }
        assert shown == {"developer": [False] * 4, "operator": [True] * 4}, label
        assert found(browsers("developer"), object=label, words="Zq7x") == (0, 0)
    lists = {own.model._meta.label for own in admin.site._registry.values() if isinstance(own, SeenOnly)}
    assert lists <= set(SEEN_ONLY)


def test_lines_of_a_log_reach_only_who_may_read_it(world: Any, browsers: Browsers) -> None:
    """A step's output is in its failure, in drafts and in their history: all of it is restricted as the log is."""
    deployment = alter(walk(world.scheduled(), "enqueue", "start"), started_at=now())
    step = make(
        Step,
        deployment=deployment,
        phase="deployment",
        ordinal=1,
        step_type="command",
        label_ja="a",
        label_en="a",
        parameters={},
        estimate_seconds=1,
        started_at=now(),
        result={"host": "FACT-Zq7x"},
    )
    step = walk(step, "mark_ready", "claim")
    make(StepAttempt, step=step, fencing_token=step.fencing_token, worker="WORKER-Zq7x", started_at=now())
    StepOutput.objects.create(step=step, fencing_token=step.fencing_token, text="LINE-Zq7x\n")
    with acting(COMMAND):
        outcome.fail(step, fencing_token=step.fencing_token, message="ended with exit code 1: WHY-Zq7x")
    with world.acting_as("operator"):
        alarm = decide.raise_(deployment.pk, cause="data_inconsistent", note="two totals differ")
    with acting(COMMAND), operation("test:draft") as op:
        draft_documents(alarm)
        op.about(alarm)
    label, report = f"releases.Step:{step.pk}", alarm.documents.get(kind="report")
    addresses = [
        reverse("deployment", args=[deployment.pk]),
        reverse("rollback", args=[alarm.pk]),
        reverse("rollback-report", args=[alarm.pk]),
        reverse("timeline"),
        reverse("timeline") + f"?object={label}",
        reverse("as-of") + f"?object={label}",
        reverse("as-of") + f"?object=releases.Document:{report.pk}",
    ]
    link_pending(connection)
    addresses += [
        reverse("event", args=[e.ledger_entry.number]) for e in Event.objects.filter(object=label, kind="row")
    ]
    for name in ("developer", "administrator"):
        client = browsers(name)
        for address in addresses:
            page = client.get(address)
            assert page.status_code in (200, 403) and "Zq7x" not in page.content.decode(), (name, address)
        assert found(client, words="Zq7x") == (0, 0)
    tester, operator = browsers("tester"), browsers("operator")
    assert "LINE-Zq7x" not in tester.get(addresses[2]).content.decode()
    assert "LINE-Zq7x" in tester.get(addresses[1]).content.decode(), "he checks the report"
    assert "WHY-Zq7x" not in tester.get(addresses[0]).content.decode()
    assert all("Zq7x" in operator.get(address).content.decode() for address in addresses[:3])
    assert "Zq7x" in operator.get(addresses[5]).content.decode()
