"""Pages of a person with one application and of one with all, with two applications and with two hundred."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.operation import operation
from benchmarks.bench_pages import look
from benchmarks.report import Report
from environments.models import AccessGrant, Account, Application, DeploymentTarget, Environment
from releases.models import Procedure, Release
from tests.releases.admin import seed
from tests.releases.gates.asking import COMMAND

APPLICATIONS = int(os.environ.get("RINGI_BENCH_APPLICATIONS", "200"))
PEOPLE = int(os.environ.get("RINGI_BENCH_PEOPLE", "500"))
RELEASES = 5
ROLES = ("release_manager", "developer", "tester", "committee", "operator")
MOST = 2.0


def pages(world: dict[str, Any]) -> dict[str, str]:
    """Return name → address."""
    lists = ("releases_release", "releases_deployment", "environments_application", "environments_deploymenttarget")
    return {
        "My tasks": reverse("admin:index"),
        "release": reverse("release", args=[world["draft"].pk]),
        "release in review": reverse("release", args=[world["review"].pk]),
        "deployment": reverse("deployment", args=[world["running"].pk]),
        "calendar": reverse("calendar"),
        "access matrix": reverse("access"),
        **{f"list {name.partition('_')[2]}": reverse(f"admin:{name}_changelist") for name in lists},
    }


def limited(account: Account, application: Application) -> None:
    """Let the grants of an account count for one application."""
    with acting(COMMAND), operation("test:limit", (Account, account.pk)):
        for grant in AccessGrant.objects.filter(account=account):
            grant.application = application
            grant.save()


def others(world: dict[str, Any]) -> None:
    """Add the other applications, each with targets and releases, and the people, each with a role for one of them."""
    first, procedure, moment = world["application"], Procedure.objects.get(state="in_effect"), now()
    places = list(Environment.objects.all())
    with acting(COMMAND), operation("test:others", (Account, world["draft"].author_id)):
        made = Application.objects.bulk_create(
            Application(slug=f"app-{n}", name=f"Application {n}", group=f"group-{n % 20}")
            for n in range(APPLICATIONS - 1)
        )
        DeploymentTarget.objects.bulk_create(
            DeploymentTarget(application=one, environment=place, root=f"/nowhere/{one.slug}/{place.slug}", options={})
            for one in made
            for place in places
        )
        Release.objects.bulk_create(
            Release(
                application=one,
                version=f"1.{n}.0",
                title=f"Release {n}",
                procedure=procedure,
                step_plan=world["draft"].step_plan,
                author=world["draft"].author,
                scheduled_start_at=moment + timedelta(days=20 + n),
            )
            for one in made
            for n in range(RELEASES)
        )
        accounts = Account.objects.bulk_create(
            Account(username=f"person-{n}", display_name=f"Person {n}", email=f"p{n}@datasets.example")
            for n in range(PEOPLE)
        )
        AccessGrant.objects.bulk_create(
            AccessGrant(
                account=one,
                role_id=ROLES[n % len(ROLES)],
                application=[first, *made][n % APPLICATIONS],
                starts_at=moment,
                confirmed_at=moment,
                reason="team",
            )
            for n, one in enumerate(accounts)
        )


def bench_teams(
    database: str,
    people: dict[str, Any],
    acting_as: Callable[..., Any],
    browsers: Callable[[str], Any],
    report: Report,
    quiet: None,
) -> None:
    """Look at pages as a manager of one application and as one of all, add the others, and look again."""
    world = seed.world(acting_as)
    seed.more(acting_as, world, 60)  # so that a list is a full page before and after
    limited(people["operator"], world["application"])
    clients = {"one": browsers("operator"), "all": browsers("manager")}
    places = [(whose, name, address) for whose in clients for name, address in pages(world).items()]
    few = {(whose, name): look(clients[whose], address) for whose, name, address in places}
    others(world)
    note = f"comparison: with two applications and fourteen people; ours with {APPLICATIONS} and {PEOPLE}"
    for whose, name, address in places:
        queries, spread, fine = look(clients[whose], address)
        before, earlier, was_fine = few[whose, name]
        report.add(
            "teams",
            f"{name}, grants for {whose}",
            f"{queries} queries, {spread.p50:.0f} ms",
            limit=f"{before} queries, {earlier.p50:.0f} ms",
            ratio=spread.p50 / earlier.p50,
            target=f"queries do not grow, ≤ {MOST} ×",
            met=queries <= before and spread.p50 <= MOST * earlier.p50,
            note=note,
            valid=fine and was_fine,
            figures={"queries": [before, queries], "few": earlier.__dict__, "many": spread.__dict__},
        )
        note = ""
