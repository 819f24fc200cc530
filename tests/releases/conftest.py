"""Fixtures: a release on its way, with a real repository of signed tags, targets, configurations and evidence."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from releases.demo.repository import Built, build
from tests.conftest import copied, copy_over, dropped, enters, seconded, used


@pytest.fixture(scope="session")
def sample_repository(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sample's repository, built once per process."""
    people = {
        "developer": ("Developer", "developer@datasets.example"),
        "release_manager": ("Manager", "manager@datasets.example"),
    }
    return build(tmp_path_factory.mktemp("repository") / "built", people=people, day=date(2026, 11, 20))


@dataclass
class Later:
    """The world with a release in a later state, kept as a database that tests copy once one of them has made it.

    names: state → name of its database.
    """

    events: int
    names: dict[str, str] = field(default_factory=dict)

    def untouched(self) -> bool:
        """Tell whether nothing was written since the world was copied, and no other connection uses the copy."""
        from django.db import connection

        from audit.models import Event

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            (others,) = cursor.fetchone()
        return not others and Event.objects.count() == self.events

    def entered(self, state: str) -> bool:
        """Replace the test's own database by the kept one; False when no kept one exists yet."""
        if state not in self.names:
            return False
        copy_over(self.names[state], replaced())
        return True

    def keep(self, state: str) -> None:
        """Keep the test's database as it is now."""
        name = f"ringi_later_{uuid.uuid4().hex[:16]}"
        copy_over(replaced(), name)
        self.names[state] = name


def replaced() -> str:
    """Disconnect Django from its database, and return the name of that database."""
    from django.db import connection

    connection.close()
    return str(connection.settings_dict["NAME"])


@dataclass
class World:
    """An application with its targets, and the operations that several tests need."""

    application: Any
    environments: dict[str, Any]
    targets: dict[str, Any]
    built: Built
    acting_as: Callable[..., Any]
    people: dict[str, Any]
    configurations: dict[str, Any]
    later: Later | None = None

    def open_window(self) -> None:
        """Open an extra window around now, approved by two of the committee."""
        from releases.operations.approval.decide import approve
        from releases.operations.window.request import request_window

        moment = datetime.now(UTC)
        with self.acting_as("manager"):
            approval_request = request_window(
                self.environments["production"].pk,
                application_id=self.application.pk,
                name="extra",
                starts_at=moment - timedelta(minutes=1),
                ends_at=moment + timedelta(hours=6),
                reason="for the test",
            )
        for name in ("committee_a", "committee_b"):
            with self.acting_as(name):
                approve(approval_request.pk, digest=approval_request.digest)

    def planned(
        self,
        version: str = "1.3.0",
        author: str = "author_on_committee",
        kind: str = "regular",
        criterion: str = "",
        **fields: Any,
    ) -> Any:
        """Plan a release and complete its fields, dated into an open window."""
        from releases.operations.release.plan import add_change, edit, plan, set_configuration
        from releases.operations.release.reschedule import set_scheduled_start
        from releases.operations.release.select_commit import select_commit

        with self.acting_as(author):
            named = {"version": version, "title": f"Version {version}", "kind": kind, "criterion": criterion}
            release = plan(application_id=self.application.pk, **named)
        with self.acting_as("developer"):
            add_change(release.pk, kind="feature", text="Datasets can be tagged")
        with self.acting_as(author):
            given = dict.fromkeys(release.APPLICATION_FIELDS, "as written") | {"risk": "low"} | fields
            edit(release.pk, fields=given)
            select_commit(release.pk, branch="release/" + version.rpartition(".")[0])
            for configuration in self.configurations.values():
                set_configuration(release.pk, configuration_id=configuration.pk)
            set_scheduled_start(release.pk, start=datetime.now(UTC))
        return self.fresh(release)

    def evidenced(self, version: str = "1.3.0") -> Any:
        """Plan a release and upload its evidence."""

        def walk(version: str) -> None:
            self.planned(version)
            self.evidence(version)

        return self.brought("evidenced", walk, version, {})

    def brought(self, state: str, walk: Callable[..., object], version: str, options: dict[str, Any]) -> Any:
        """Bring a release to a state by `walk`, or by a copy of a database in which it was."""
        from releases.models import Release
        from releases.operations.release.refresh_from_git import refresh_from_git

        usual = self.later is not None and version == "1.3.0" and not options and self.later.untouched()
        usual = usual and "tested" not in vars(self)  # a test may bring it there in a way of its own
        if usual and self.later is not None and self.later.entered(state):
            release = Release.objects.get(version=version, application=self.application)
            with self.acting_as("manager"):
                refresh_from_git(release.pk)  # the result of a look at the repository counts for a minute
        else:
            walk(version, **options)
            if usual and self.later is not None:
                self.later.keep(state)
        return Release.objects.get(version=version, application=self.application)

    def tested(self, version: str = "1.3.0", **options: Any) -> Any:
        """Bring a release to `tested`, with evidence, checklist, documents and team."""
        return self.brought("tested", self._tested, version, options)

    def _tested(self, version: str, **options: Any) -> Any:
        from releases.operations.checklist.sign import sign
        from releases.operations.document import review
        from releases.operations.release.prepare import complete_testing, lock_scope
        from releases.operations.release.refresh_from_git import refresh_from_git
        from releases.operations.team.assign import assign
        from tests.releases.gates.asking import shown

        release = self.planned(version, **options)
        with self.acting_as("manager"):
            lock_scope(release.pk)
        self.evidence(version)
        for name in ("development", "staging"):
            self.verified_deployment(release, name)
        for item in release.checklist.all():
            with self.acting_as("operator"):
                sign(item.pk, digest=shown(item), evidence="read")
        for document in release.documents.all():
            with self.acting_as("developer"):
                review.write(document.pk, body="changes")
            with self.acting_as("operator"):
                review.check_content(document.pk, digest=shown(document))
            with self.acting_as("manager"):
                review.approve(document.pk, digest=shown(document))
                review.prepare_publication(document.pk, digest=shown(document))
        roles = {"implementer": "operator", "verifier": "second_operator", "release_lead": "manager"}
        for role, who in (roles | {"rollback_decision_maker": "second_operator"}).items():
            with self.acting_as("manager"):
                assign(release.pk, team_role=role, account_id=self.people[who].pk, telephone="+81-3-0000-0000")
        with self.acting_as("manager"):
            refresh_from_git(release.pk)
            complete_testing(release.pk)
        return self.fresh(release)

    def submitted(self, version: str = "1.3.0", **options: Any) -> tuple[Any, Any]:
        """Bring a release into review; returns it with its approval request."""
        release = self.brought("submitted", self._submitted, version, options)
        return release, release.approval_requests.get()

    def _submitted(self, version: str, **options: Any) -> None:
        from releases.operations.approval.submit import submit

        release = self.tested(version, **options)
        with self.acting_as("manager"):
            submit(release.pk)

    def approved(self, version: str = "1.3.0", **options: Any) -> tuple[Any, Any]:
        """Bring a release to an approved request."""
        release = self.brought("approved", self._approved, version, options)
        return release, release.approval_requests.get()

    def _approved(self, version: str, **options: Any) -> None:
        from releases.operations.approval.decide import approve

        _release, approval_request = self.submitted(version, **options)
        for name in ("committee_a", "committee_b"):
            with self.acting_as(name):
                approve(approval_request.pk, digest=approval_request.digest)

    def final_checked(self, version: str = "1.3.0", **options: Any) -> tuple[Any, Any]:
        """Bring a release to `final_check_completed`."""
        release = self.brought("final_checked", self._final_checked, version, options)
        return release, release.approval_requests.get()

    def _final_checked(self, version: str, **options: Any) -> None:
        from releases.operations.release.sign_final_check import sign

        release, _request = self.approved(version, **options)
        for name in ("manager", "operator"):
            with self.acting_as(name):
                sign(release.pk)

    def scheduled(self, version: str = "1.3.0", **options: Any) -> Any:
        """Schedule the production deployment for now."""
        from releases.operations.deployment.request import request
        from releases.operations.deployment.schedule import schedule

        release, _request = self.final_checked(version, **options)
        with self.acting_as("operator"):
            deployment = request(release.pk, environment_id=self.environments["production"].pk)
            schedule(deployment.pk)
        return self.fresh(deployment)

    def evidence(self, version: str) -> None:
        """Upload evidence that every gate accepts."""
        from releases.operations.evidence.upload import upload

        junit = b'<testsuite tests="1" failures="0" errors="0"><testcase name="a"/></testsuite>'
        rows = [("junit", "unit", "development", junit)]
        rows += [("junit", kind, "staging", junit) for kind in ("integration", "system", "acceptance")]
        rows += [
            ("coverage", "", "development", b'<coverage line-rate="1" lines-covered="10" lines-valid="10"/>'),
            ("review", "", "staging", json.dumps({"reviewer": "B", "decision": "approved"}).encode()),
            ("performance", "", "staging", json.dumps({"tool": "k", "measured": "1", "baseline": "1"}).encode()),
            ("sarif", "", "staging", json.dumps({"version": "2.1.0", "runs": [{"results": []}]}).encode()),
        ]
        scan = {"tool": "s", "critical": 0, "high": 0, "medium": 0, "low": 0}
        rows.append(("security_scan", "", "staging", json.dumps(scan).encode()))
        for kind, test_type, where, content in rows:
            with self.acting_as("ci"):
                upload(
                    self.application.pk,
                    environment_id=self.environments[where].pk,
                    kind=kind,
                    commit=self.built.commits[f"v{version}"],
                    files=[("", content)],
                    test_type=test_type,
                )

    def verified_deployment(self, release: Any, environment: str) -> Any:
        """Walk a deployment along its edges to success, without steps (the steps have their own tests)."""
        from audit.actor import Actor, acting
        from audit.operation import operation
        from releases.models import Deployment, Procedure

        with acting(Actor(account_id=None, name="tests", kind="worker", channel="worker")):
            with operation("deployment:request") as op:
                deployment = Deployment.objects.create(
                    release=release,
                    application=release.application,
                    environment=self.environments[environment],
                    procedure=Procedure.objects.of(self.application),
                    requested_by=self.people["ci"],
                    previous={"wanted_tree": self.built.trees[f"v{release.version}"]},
                )
                op.about(deployment)
            for edge in ("schedule", "enqueue", "start", "start_verification", "start_monitoring", "succeed"):
                with operation("test:walk", (Deployment, deployment.pk)) as op:
                    getattr(op.get(Deployment), edge)()
        return self.fresh(deployment)

    @staticmethod
    def fresh(row: Any) -> Any:
        """Fetch a row again; a protected state is never refreshed in place."""
        return type(row)._default_manager.get(pk=row.pk)


@dataclass(frozen=True)
class WorldTemplate:
    """A database with the world in it, which tests copy; `folder` holds the roots of its targets."""

    name: str
    folder: Path
    later: Later


@pytest.fixture(scope="session")
def world_template(
    template_database: str, django_db_blocker: Any, sample_repository: Built, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorldTemplate]:
    """Make the world once per process."""
    folder = tmp_path_factory.mktemp("world")
    with copied(template_database) as made:
        with used(made, django_db_blocker), translation.override("en"):
            from django.db import connection

            from audit.ledger.link import link_pending
            from audit.models import Event
            from environments.models import Account

            people = {account.username: account for account in Account.objects.all()}
            made_world(people, enters(people), sample_repository, folder)
            link_pending(connection)
            later = Later(Event.objects.count())
        yield WorldTemplate(made, folder, later)
        for name in later.names.values():
            dropped(name)


@pytest.fixture
def world(
    world_template: WorldTemplate, people: dict[str, Any], acting_as: Callable[..., Any], sample_repository: Built
) -> World:
    """An application `datasets` with a target folder and a configuration in each environment, and an open window."""
    shutil.rmtree(world_template.folder / "targets")
    world = found_world(people, acting_as, sample_repository)
    world.later = world_template.later
    for target in world.targets.values():
        Path(target.root).mkdir(parents=True)
    return world


def found_world(people: dict[str, Any], acting_as: Callable[..., Any], sample_repository: Built) -> World:
    """Read the world from a database that was copied."""
    from environments.models import Application, ConfigurationVersion, DeploymentTarget, Environment

    return World(
        application=Application.objects.get(),
        environments={e.slug: e for e in Environment.objects.all()},
        targets={t.environment.slug: t for t in DeploymentTarget.objects.select_related("environment")},
        built=sample_repository,
        acting_as=acting_as,
        people=people,
        configurations={c.environment.slug: c for c in ConfigurationVersion.objects.select_related("environment")},
    )


def made_world(
    people: dict[str, Any], acting_as: Callable[..., Any], sample_repository: Built, tmp_path: Path
) -> World:
    """Make that world."""
    from environments.models import Environment
    from environments.operations.configuration.create import create
    from releases.operations.application.create import create_application
    from releases.operations.target.set_settings import create_target

    environments = {e.slug: e for e in Environment.objects.all()}
    targets, configurations = {}, {}
    with acting_as("manager"):
        application = create_application(
            slug="datasets",
            name="Datasets",
            repository=str(sample_repository.path),
            signers=sample_repository.allowed_signers.read_text(),
        )
        for name, environment in environments.items():
            root = tmp_path / "targets" / name
            root.mkdir(parents=True)
            made = create_target(
                application_id=application.pk, environment_id=environment.pk, root=str(root), settings={}
            )
            targets[name] = seconded(made, acting_as)
            configurations[name] = create(
                application_id=application.pk,
                environment_id=environment.pk,
                values={"PORT": "8080"},
                secrets={"PASSWORD": f"hidden-{name}"},
                reason="first",
            )
    world = World(application, environments, targets, sample_repository, acting_as, people, configurations)
    world.open_window()
    return world
