"""An organisation that releases an application other than the sample: procedure, targets and people's operations.

Everything is done as people do it: `make up` in a copy of the tree, forms over HTTP, the API for CI.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from config.development.ports import free_port
from environments.targets.base import TargetSpec
from environments.targets.measured import Measured, measure
from releases.demo.chapters.setup import add_people, as_fields, put_into_effect, second_administrator
from releases.demo.repository import ZONE, Built, Workshop
from releases.demo.site import until
from releases.demo.stage import Stage
from releases.procedures.load import default_text
from tests.chaos.tree import Tree, clean_environment

ENVIRONMENTS = ("development", "staging", "production")
MONITORING_SECONDS, INTERVAL_SECONDS = 24, 2
ALL_DAY = (
    ('rrule = "FREQ=MONTHLY;BYDAY=3WE"', 'rrule = "FREQ=DAILY"'),
    ('start = "01:00"', 'start = "00:00"'),
    ("length_minutes = 240", "length_minutes = 1440"),
)
# This organisation asks for no coverage threshold, no static analysis and no load test.
NOT_ASKED = ("coverage", "static_analysis", "performance")
WORDS = 'ja = "自組織用"\nen = "For our organisation"\norigin = "default"\n'
VERSION = (('format = 1\nversion = "1.0.1"\n', 'format = 1\nversion = "2.0.0"\n'),)
SHORT_MONITORING = (
    ("duration_seconds = 86400", f"duration_seconds = {MONITORING_SECONDS}"),
    ("interval_seconds = 60", f"interval_seconds = {INTERVAL_SECONDS}"),
)
SHORT = (*SHORT_MONITORING, ("monitoring_seconds = 86400", f"monitoring_seconds = {MONITORING_SECONDS}"))


@dataclass
class Target:
    """One copy of the application on this machine."""

    application: Application
    environment: str
    root: Path
    port: int

    @property
    def address(self) -> str:
        """Return where the application answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        """Return the target's settings as an operator types them into the form."""
        return self.application.settings(self)

    @property
    def spec(self) -> TargetSpec:
        """Return the target as steps take it."""
        return TargetSpec(self.application.slug, self.environment, self.root, self.settings)

    def values(self, **more: str) -> dict[str, str]:
        """Return the configuration of a version."""
        return self.application.values(self) | more

    def measure(self) -> Measured:
        """Measure code, configuration and data on the target itself."""
        return measure(self.spec, self.values() | self.application.secrets(self))

    def answer(self, path: str) -> tuple[int, str]:
        """Return status and text of the answer at that address; (0, reason) without an answer."""
        try:
            answer = httpx.get(self.address + path, timeout=3)
        except httpx.HTTPError as error:
            return 0, repr(error)
        return answer.status_code, answer.text


class Application(ABC):
    """The parts that differ between applications."""

    slug: str
    title: str
    # Versions in its repository: the one before Ringi, a sound one, a broken one, a draft.
    manual_checks: tuple[str, ...] = ("data_integrity", "security_settings")
    before, sound, broken, draft = "1.0.0", "1.1.0", "1.2.0", "1.3.0"

    @abstractmethod
    def trees(self) -> Mapping[str, Mapping[str, bytes]]:
        """Return version → path → content."""

    @abstractmethod
    def settings(self, target: Target) -> dict[str, Any]:
        """Return the settings of a target."""

    @abstractmethod
    def values(self, target: Target) -> dict[str, str]:
        """Return the configuration of a target."""

    def secrets(self, target: Target) -> dict[str, str]:
        """Return the secrets of its configuration: none where Ringi manages no database."""
        return {}

    @abstractmethod
    def version_served(self, target: Target) -> str:
        """Return the version that the running program itself reports; "" without an answer."""

    @abstractmethod
    def start_by_hand(self, target: Target) -> subprocess.Popen[bytes]:
        """Start the installed version as an operator does who does not know Ringi."""

    def copies(self, environment: str) -> tuple[str, ...]:
        """Return the names of its targets in an environment."""
        return ("main",)

    def lay(self, target: Target) -> None:  # noqa: B027  most have nothing there
        """Lay what the operators keep on a target, beside the application."""

    def built(self, organisation: Organisation, version: str) -> None:  # noqa: B027  most deploy their Git tree
        """Build what is deployed of a version, and register it."""

    def deploy_lower(self, organisation: Organisation, version: str, environment: str) -> None:
        """Let CI deploy a version to an environment before production."""
        organisation.deploy_lower(version, environment)

    def end(self, target: Target) -> None:  # noqa: B027  most leave nothing
        """End processes of the application that Ringi does not know."""

    @abstractmethod
    def process(self) -> str:
        """Return the deployment process (TOML) with which it is released."""


def procedure() -> str:
    """Return the default procedure as the organisation changed it, for all its applications."""
    text = replaced(default_text(), *VERSION, *SHORT, *ALL_DAY)
    for key in NOT_ASKED:
        text = re.sub(rf'\[\[gates\]\]\nkey = "{key}"\n(.+\n)+', "", text)
    return f'{text}\n[[history]]\ndate = 2024-04-01\nversion = "2.0.0"\n{WORDS}'


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Return a text with each first part replaced by the second; each must be there."""
    for wanted, put in pairs:
        assert wanted in text, wanted
        text = text.replace(wanted, put)
    return text


class Organisation(Stage):
    """The people and places of one organisation that releases one application."""

    def __init__(self, state: Path, base_url: str, what: Application) -> None:
        super().__init__(state, base_url, application=what.slug, title=what.title, manual_checks=what.manual_checks)
        self.what = what
        self.copies: dict[str, list[Target]] = {}

    def set_up(self, username: str, invitation: str, there: Organisation | None = None) -> None:
        """Make people and procedure, where no other application is `there` with them, and repository, targets and
        deployment process of this application; the version before Ringi is installed and started by hand.
        """
        if there is None:
            first, second = second_administrator(self, username, invitation)
            add_people(self, first, second)
            put_into_effect(self, procedure(), "as our organisation does it")
        else:
            self.people, self.ci, self.faults = there.people, there.ci, there.faults
            shared = {*there.people, "ci", *ENVIRONMENTS}
            self.ids = {name: pk for name, pk in there.ids.items() if name in shared}
        self.built = self._repository()
        self.ids[self.application] = self.manager.do(
            "application:create",
            slug=self.application,
            name=self.title,
            repository=str(self.repository.path),
            signers=self.repository.allowed_signers.read_text(),
            tag_format="v{version}",
        )
        for name in ENVIRONMENTS:
            for copy in self.what.copies(name):
                root = self.state / "targets" / name / copy
                root.mkdir(parents=True)
                self.copies.setdefault(name, []).append(Target(self.what, name, root, free_port()))
                self.what.lay(self.copies[name][-1])
                self._target(name, copy)
            self.places[name] = self.copies[name][0]
        self._process()

    def _process(self) -> None:
        text, reason = self.what.process(), f"how {self.title} is deployed"
        made = self.manager.do("deployment_process:create", self.ids[self.application], content=text, reason=reason)
        approval_request = self.manager.do("deployment_process:submit", made, reason=reason)
        self.committee_a.approve(approval_request)
        self.committee_b.approve(approval_request)

    def _repository(self) -> Built:
        developer = (self.people["developer"].name, "developer@datasets.example")
        releaser = (self.people["manager"].name, "manager@datasets.example")
        shop = Workshop(self.state / "repository", developer, releaser)
        shop.open()
        at, start = datetime.now(ZONE) - timedelta(minutes=10), ""
        for version, tree in self.what.trees().items():
            shop.commit("main", start, tree, f"Version {version}", at)
            shop.tag(version, "main", [f"- What {version} brings"], at)
            shop.move(("staging", "development"), "refs/heads/main")
            at, start = at + timedelta(minutes=1), "refs/heads/main"
        return Built(shop.path, shop.allowed_signers, shop.commits, shop.trees)

    def _target(self, name: str, copy: str) -> None:
        place = self.copies[name][-1]
        settings = dict(place.settings)
        monitoring = settings.pop("metric_sources", None)
        target = self.place(
            name,
            "target:create",
            name=copy,
            application_id=self.ids[self.application],
            environment_id=self.ids[name],
            root=str(place.root),
            **as_fields(settings),
        )
        self.ids.setdefault(f"target {name}", target)
        if monitoring is not None:
            given = {"sources": json.dumps(monitoring), "private_networks": "", "reason": "first"}
            self.place(name, "target:set_monitoring", target, **given)

    def configure(self, environment: str, **more: str) -> int:
        """Make a configuration version of an environment."""
        place = self.copies[environment][0]
        given = (place.values(**more), self.what.secrets(place))
        values, secrets = ("\n".join(f"{key}={value}" for key, value in one.items()) for one in given)
        return int(
            self.manager.do(
                "configuration:create",
                application_id=self.ids[self.application],
                environment_id=self.ids[environment],
                values=values,
                secrets=secrets,
                reason="values for the next version",
            )
        )

    def lay_by_hand(self, name: str) -> None:
        """Install the version before Ringi and its configuration as the operators had them."""
        place, tag = self.places[name], f"v{self.what.before}"
        tree = place.root / "releases" / f"{self.what.before}-{self.tree(self.what.before)[:12]}"
        tree.mkdir(parents=True)
        archive = subprocess.run(
            ["git", "-C", str(self.repository.path), "archive", tag], check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
        (place.root / "current").symlink_to(f"releases/{tree.name}")
        (place.root / "shared").mkdir(exist_ok=True)

    def plan(self, version: str, **application: Any) -> int:
        """Plan a release for today, lock its scope and upload its evidence; returns its id."""
        kind = "feature" if version.endswith(".0") else "fix"
        release = self.write(version, kind="regular", branch="main", changes=[(kind, f"What {version} brings")])
        self.what.built(self, version)
        if application:
            self.edit(version, **application)
        self.manager.do("release:set_scheduled_start", release, start=datetime.now(UTC).isoformat())
        self.manager.do("release:lock_scope", release)
        self.prove(version)
        return release

    def prepare(self, version: str, **application: Any) -> int:
        """Bring a release from plan to approval; returns its id."""
        release = self.release.get(version) or self.plan(version, **application)
        for name in ENVIRONMENTS[:2]:
            self.what.deploy_lower(self, version, name)
        self.sign_checklist(version)
        self.documents(version)
        self.assign_team(version)
        self.manager.do("release:refresh_from_git", release)
        self.manager.do("release:complete_testing", release)
        self.get_approval(version)
        return release

    def prove(self, version: str, *, coverage: bool = True) -> dict[str, Any]:
        """Upload the evidence that this organisation's gates ask for."""
        passed = b'<testsuite name="all" tests="3" failures="0" errors="0">%s</testsuite>'
        report = passed % b"".join(b'<testcase classname="t" name="%d"/>' % number for number in range(3))
        for test_type, name in (
            ("unit", "development"),
            ("integration", "staging"),
            ("system", "staging"),
            ("acceptance", "staging"),
        ):
            self.upload(version, "junit", report, name, test_type)
        statements = {
            "review": {"reviewer": "Committee reviewer", "decision": "approved"},
            "security_scan": {"tool": "pip-audit", "critical": 0, "high": 0, "medium": 0, "low": 0},
        }
        for kind, statement in statements.items():
            self.upload(version, kind, json.dumps(statement).encode(), "staging")
        return {}

    def draft(self, version: str) -> int:
        """Plan a release that stays a draft, with its commit and configuration; returns its id."""
        return self.write(version, kind="regular", branch="main", changes=[("fix", "Tried out")])


@contextmanager
def running(tree: Tree, log: Path, **more: str) -> Iterator[tuple[str, str, str]]:
    """Run `make up` in a copy of the tree as a new user does; yields address, first sign-in and its invitation. more:
    variables of its environment.
    """
    with log.open("wb") as output:
        up = subprocess.Popen(
            ["make", "up"],
            cwd=tree.folder,
            env=clean_environment() | {"RINGI_PORT": str(free_port())} | more,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        announced = until("Ringi to answer", lambda: _announced(up, log), 300)
        yield announced
    finally:
        os.killpg(up.pid, signal.SIGTERM)
        try:
            up.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(up.pid, signal.SIGKILL)
            up.wait()


def _announced(up: subprocess.Popen[bytes], log: Path) -> tuple[str, str, str] | None:
    text = log.read_text("utf-8", errors="replace")
    assert up.poll() is None, text
    found = [re.search(rf"{word} ?(\S+)", text) for word in ("Ringi answers at", "Administrator:", "Invitation:")]
    if any(one is None for one in found):
        return None
    address, username, invitation = (one[1] for one in found if one is not None)
    return address.rstrip("/"), username, invitation
