"""Many deployments that fall due in the same minute, over several environments with a worker each."""

from __future__ import annotations

import dataclasses
import os
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_rq
import pytest
from rq import Worker

from audit.actor import Actor, acting
from audit.clock import now
from audit.operation import operation
from benchmarks import deployments
from benchmarks.bench_wake import began_on_the_target, until
from benchmarks.report import Report, Spread
from environments.models import AccessRule, Environment
from releases.models import Deployment, StepAttempt
from releases.operations.release.plan import active_procedure
from releases.queries.target_spec import spec_of
from releases.worker.context import target_of
from tests.conftest import seconded
from tests.releases.conftest import World
from tests.releases.gates.asking import alter

DEPLOYMENTS = int(os.environ.get("RINGI_BENCH_DUE_DEPLOYMENTS", "200"))
ENVIRONMENTS = int(os.environ.get("RINGI_BENCH_ENVIRONMENTS", "8"))
MINUTE = timedelta(seconds=60)


def lay_environments(world: World) -> list[Environment]:
    """Return ENVIRONMENTS environments like development, with its rights; the first is development itself."""
    first = world.environments["development"]
    made = [first]
    rules = list(AccessRule.objects.filter(environment=first))
    with acting(Actor(account_id=None, name="bench", kind="command", channel="command")):
        for number in range(2, ENVIRONMENTS + 1):
            with operation("bench:environment") as op:
                one = Environment.objects.create(
                    slug=f"development_{number}",
                    name_ja=f"開発 {number}",
                    name_en=f"Development {number}",
                    tier=first.tier,
                    order=100 + number,
                )
                for rule in rules:
                    AccessRule.objects.create(role_id=rule.role_id, environment=one, level=rule.level)
                op.about(one)
                made.append(one)
    procedure = active_procedure()
    content = deepcopy(procedure.content)
    for rows, key in ((content["environments"], "key"), (content["accepted_branches"], "environment")):
        like = next(row for row in rows if row[key] == first.slug)
        rows += [{**like, key: one.slug} | ({"order": one.order} if key == "key" else {}) for one in made[1:]]
    alter(procedure, content=content)
    return made


def lay_application(world: World, number: int, environments: list[Environment], folder: Path) -> World:
    """Return the world with an application of its own and its copies in all these environments and in production."""
    from environments.operations.configuration.create import create
    from releases.operations.application.create import create_application
    from releases.operations.target.set_settings import create_target

    with world.acting_as("manager"):
        application = create_application(
            slug=f"many-{number}",
            name=f"Many {number}",
            repository=str(world.built.path),
            signers=world.built.allowed_signers.read_text(),
        )
        configurations = {}
        for one in (*environments, world.environments["production"]):
            (root := folder / f"{number}-{one.slug}").mkdir()
            made = create_target(application_id=application.pk, environment_id=one.pk, root=str(root), settings={})
            seconded(made, world.acting_as)
            configurations[one.slug] = create(
                application_id=application.pk, environment_id=one.pk, values={"PORT": "8080"}, secrets={}, reason="many"
            )
    own = dataclasses.replace(world, application=application, configurations=configurations)
    own.open_window()
    return own


def bench_due_together(
    world: World,
    report: Report,
    children: Any,
    quiet: None,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Schedule DEPLOYMENTS deployments within one minute, one application for each ENVIRONMENTS, and see when each
    began.
    """
    from releases.operations.deployment.request import request
    from releases.operations.deployment.schedule import schedule

    environments = lay_environments(world)
    names = [one.slug for one in environments]
    asked = []
    for number in range(-(-DEPLOYMENTS // ENVIRONMENTS)):
        own = lay_application(world, number, environments, tmp_path)
        made = deployments.replan(own, deployments.release(own), deployments.plan(1))
        with own.acting_as("developer"):
            asked += [request(made.pk, environment_id=one.pk).pk for one in environments]
    del asked[DEPLOYMENTS:]
    due = now() + timedelta(seconds=30 + 0.1 * DEPLOYMENTS)
    with world.acting_as("developer"):
        for place, pk in enumerate(asked):
            schedule(pk, at=due + place * MINUTE / DEPLOYMENTS)
    in_time = now() < due
    for name in names:
        queue = django_rq.get_queue(name)
        queue.empty()
        children("manage.py", "worker", name)
    children("manage.py", "scheduler")
    until(lambda: len(Worker.all(connection=queue.connection)) >= ENVIRONMENTS, "the workers", 60)
    in_time = in_time and now() < due
    mine = Deployment.objects.filter(pk__in=asked)
    until(lambda: mine.filter(state="succeeded").count() == DEPLOYMENTS, "the end of all deployments", 600)
    began = {
        deployment.pk: began_on_the_target(spec_of(target_of(deployment.steps.get(ordinal=1)), None), deployment)
        for deployment in mine.select_related("application", "environment")
    }
    late = [(began[pk] - at).total_seconds() for pk, at in mine.values_list("pk", "scheduled_start_at")]
    whole = (max(began.values()) - due).total_seconds()
    report.add(
        "many",
        f"{DEPLOYMENTS} deployments due in one minute over {ENVIRONMENTS} environments: due → at work on the "
        "target (p50 / p99)",
        spread := Spread.of(late),
        limit=f"the minute, of which all had begun after {whole:.1f} s",
        ratio=whole / 60,
        valid=in_time
        and len(late) == DEPLOYMENTS == StepAttempt.objects.filter(step__deployment__in=asked, step__ordinal=1).count()
        and min(late) >= 0,
        note=f"one scheduler and {ENVIRONMENTS} workers on these cores; slowest {max(late):.2f} s",
        figures={"late": spread.__dict__, "all_begun_after": whole},
    )
