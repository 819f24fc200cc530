"""Shared state of the chapters: the people, the targets, the repository, and operations of more than one chapter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from releases.demo.repository import Built
from releases.demo.site import Ci, Person, StoryFailed, until
from releases.demo.targets import Place

TELEPHONE = "+81-3-0000-0000"


@dataclass
class Stage:
    """The state of the story."""

    state: Path
    base_url: str
    application: str = "datasets"
    title: str = "Dataset service"
    manual_checks: tuple[str, ...] = ("data_integrity", "security_settings")
    people: dict[str, Person] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    built: Built | None = None
    ci: Ci | None = None
    release: dict[str, int] = field(default_factory=dict)
    deployment: dict[str, int] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Person:
        """Return a person by name."""
        try:
            return self.__dict__["people"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(name) from None

    def check(self, holds: object, message: str) -> None:
        """Record a fault of the chapter unless a condition holds; the story goes on."""
        if not holds:
            self.faults.append(message)

    @property
    def repository(self) -> Built:
        """Return the built repository."""
        if self.built is None:
            raise StoryFailed("there is no repository yet")
        return self.built

    @property
    def service(self) -> Ci:
        """Return the CI account."""
        if self.ci is None:
            raise StoryFailed("there is no CI account yet")
        return self.ci

    def commit(self, version: str) -> str:
        """Return the commit of a version's tag."""
        return self.repository.commits[f"v{version}"]

    def tree(self, version: str) -> str:
        """Return the tree of a version's tag."""
        return self.repository.trees[f"v{version}"]

    # -- writing a release -------------------------------------------------------------------------------------

    def place(self, environment: str, verb: str, pk: int | None = None, **fields: Any) -> int:
        """Register where and how the application runs; return the id. In production a second person confirms it."""
        made = self.manager.do(verb, pk, **fields)
        return int(self.operator.do("requested_change:confirm", made) if environment == "production" else made)

    def configure(self, environment: str, **more: str) -> int:
        """Create a configuration version of an environment."""
        place = self.places[environment]
        lines = "\n".join(f"{key}={value}" for key, value in place.values(**more).items())
        return int(
            self.manager.do(
                "configuration:create",
                application_id=self.ids[self.application],
                environment_id=self.ids[environment],
                values=lines,
                secrets=f"DATABASE_URL={place.database_url}\nSCRATCH_DATABASE_URL={place.scratch_url}",
                reason="values for the next version",
            )
        )

    def write(self, version: str, *, kind: str, branch: str, changes: list[tuple[str, str]], **more: str) -> int:
        """Plan a release and complete its content; return its id."""
        pk = int(
            self.manager.do(
                "release:plan",
                application_id=self.ids[self.application],
                version=version,
                title=f"{self.title} {version}",
                kind=kind,
            )
        )
        self.release[version] = pk
        for change_kind, text in changes:
            self.developer.do("release:add_change_entry", pk, kind=change_kind, text=text, ticket="DS-1")
        self.edit(version)
        self.manager.do("release:select_commit", pk, branch=branch, revision=f"v{version}")
        places = [place for place in self.places if kind != "pre_release" or place != "production"]
        chosen: dict[str, Any] = {f"configuration_{place}": self.configure(place, **more) for place in places}
        self.manager.do("release:set_configuration", pk, **chosen)
        return pk

    def edit(self, version: str, **more: Any) -> None:
        """Write the change request of the release."""
        fields = {
            "title": f"{self.title} {version}",
            "reason": "Users asked for it",
            "ticket": "DS-1",
            "impact": "Datasets cannot be written for some minutes",
            "security_impact": "None",
            "risk": "medium",
            "test_plan": "Unit, integration, system and acceptance tests",
            "rollback_plan": "Restore of the proven backup, earlier tree and configuration",
            "data_loss_limit": 0,
            "on_timeout": "roll_back",
            **more,
        }
        self.manager.do("release:edit", self.release[version], **fields)

    # -- evidence -----------------------------------------------------------------------------------------------

    def tests(self, version: str) -> dict[str, bytes]:
        """Run the sample's own tests on the tag's tree; return junit per test type and the coverage."""
        parts = {
            "unit": ["tests"],
            "integration": ["tests/test_commands.py", "tests/test_migrate.py"],
            "system": ["tests/test_app.py"],
            "acceptance": ["tests/test_app.py", "tests/test_titles.py"],
        }
        found: dict[str, bytes] = {}
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch) / "tree"
            tree.mkdir()
            archive = subprocess.run(
                ["git", "-C", str(self.repository.path), "archive", "--format=tar", self.commit(version)],
                check=True,
                capture_output=True,
            )
            subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
            for name, chosen in parts.items():
                coverage = ["--cov=dataset_service", "--cov-report=xml:coverage.xml"] if name == "unit" else []
                ran = subprocess.run(
                    [sys.executable, "-m", "pytest", "-q", f"--junitxml={name}.xml", *coverage, *chosen],
                    cwd=tree,
                    env={**os.environ, "DATASET_TEST_DATABASE_URL": self.kept["tests database"]},
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                )
                if ran.returncode:
                    raise StoryFailed(f"the sample's {name} tests failed: {ran.stdout[-800:]}")
                found[name] = (tree / f"{name}.xml").read_bytes()
            found["coverage"] = (tree / "coverage.xml").read_bytes()
        return found

    def upload(self, version: str, kind: str, content: bytes, environment: str, test_type: str = "") -> Any:
        """Upload evidence as CI; return the API's answer."""
        return self.service.demand(
            "POST",
            "/evidence",
            data={
                "application": self.application,
                "environment": environment,
                "kind": kind,
                "commit": self.commit(version),
                "test_type": test_type,
            },
            files={"file": (f"{kind}.bin", content)},
        )["items"][0]

    def prove(self, version: str, *, coverage: bool = True) -> dict[str, Any]:
        """Run the tests and upload everything that the gates of production require."""
        reports = self.tests(version)
        read = {"unit": self.upload(version, "junit", reports["unit"], "development", "unit")["summary"]}
        for test_type in ("integration", "system", "acceptance"):
            read[test_type] = self.upload(version, "junit", reports[test_type], "staging", test_type)["summary"]
        statements = {
            "review": {"reviewer": "Committee reviewer", "decision": "approved"},
            "security_scan": {"tool": "ruff S", "critical": 0, "high": 0, "medium": 0, "low": 0},
            "performance": {"tool": "load", "measured": "0.010", "baseline": "0.010"},
        }
        for kind, statement in statements.items():
            self.upload(version, kind, json.dumps(statement).encode(), "staging")
        self.upload(version, "sarif", self.static_analysis(version), "staging")
        if coverage:
            read["coverage"] = self.upload(version, "coverage", reports["coverage"], "development")["summary"]
        self.kept[f"coverage {version}"] = reports["coverage"]
        return read

    def static_analysis(self, version: str) -> bytes:
        """Run a real static analysis on the tag's tree; SARIF."""
        with tempfile.TemporaryDirectory() as scratch:
            archive = subprocess.run(
                ["git", "-C", str(self.repository.path), "archive", "--format=tar", self.commit(version)],
                check=True,
                capture_output=True,
            )
            subprocess.run(["tar", "-x", "-C", scratch], input=archive.stdout, check=True)
            ran = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "ruff",
                    "check",
                    "--isolated",
                    "--select=E9,F",
                    "--exit-zero",
                    "--output-format=sarif",
                    "dataset_service",
                ],
                cwd=scratch,
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
            )
            return ran.stdout

    def gates(self, version: str, environment: str) -> dict[str, str]:
        """Return gate → result from the API."""
        listed = self.service.demand("GET", f"/releases/{self.application}/{version}/gates/{environment}")
        return {row["gate"]: row["result"] for row in listed}

    # -- deploying ----------------------------------------------------------------------------------------------

    def deploy_lower(self, version: str, environment: str) -> int:
        """Let CI deploy a release to development or staging and wait for its success."""
        deployment = self.service.demand(
            "POST",
            "/ci/deployments",
            json={"application": self.application, "version": version, "environment": environment},
        )["id"]
        self.finished(deployment, {"succeeded"})
        return int(deployment)

    def finished(self, deployment: int, wanted: set[str], seconds: float = 120) -> str:
        """Wait until a deployment reaches a wanted state. Raises StoryFailed with the reason when it fails."""
        bad = {"failed", "awaiting_decision", "missed", "cancelled", "rollback_failed"} - wanted

        def look() -> str:
            found = self.service.deployment_status(deployment)
            if found["state"] in bad:
                shown = self.service.demand("GET", f"/deployments/{deployment}")
                ended = [
                    step for step in shown["steps"] + shown["checks"] if step["state"] in ("failed", "outcome_unknown")
                ]
                raise StoryFailed(
                    f"deployment {deployment} is {found['state']}: {found['blockers']} {ended} {shown['log']}"
                )
            return found["state"] if found["state"] in wanted else ""

        return str(until(f"deployment {deployment} to be {'/'.join(sorted(wanted))}", look, seconds))

    # -- preparing ----------------------------------------------------------------------------------------------

    def sign_checklist(self, version: str) -> int:
        """Sign every open item of the checklist."""
        items = self.operator.links(
            f"/admin/release/{self.release[version]}/", r"/admin/operation/checklist/sign/(\d+)/"
        )
        for item in items:
            self.operator.do_as_shown("checklist:sign", item, evidence=f"read for {version}")
        return len(items)

    def documents(self, version: str) -> int:
        """Bring the documents through content check and approval, each by another person."""
        page = f"/admin/release/{self.release[version]}/"
        listed = self.developer.links(page, r"/admin/operation/document/edit/(\d+)/")
        for document in listed:
            self.developer.do("document:edit", document, body=f"{version}: what changes for the users, and how.")
            self.operator.do_as_shown("document:check_content", document)
            self.manager.do_as_shown("document:approve", document)
            self.developer.do_as_shown("document:prepare_publication", document)
        return len(listed)

    def assign_team(self, version: str) -> None:
        """Assign the team roles of the production deployment."""
        members = {
            "implementer": "operator",
            "verifier": "second_operator",
            "release_lead": "manager",
            "rollback_decision_maker": "second_operator",
        }
        given: dict[str, Any] = {f"{role}_account_id": self.ids[who] for role, who in members.items()}
        given |= {f"{role}_telephone": TELEPHONE for role in members}
        self.manager.do("team:assign", self.release[version], **given)

    def get_approval(self, version: str) -> int:
        """Submit for approval; both committee members approve. Return the request's id."""
        request_id = int(self.manager.do("release:submit", self.release[version]))
        self.committee_a.approve(request_id)
        self.committee_b.approve(request_id)
        return request_id

    def go(self, version: str) -> int:
        """Sign the final check and schedule the production deployment for now; return the deployment's id."""
        self.manager.do("release:sign_final_check", self.release[version])
        self.operator.do("release:sign_final_check", self.release[version])
        deployment = int(
            self.operator.do("deployment:request", self.release[version], environment_id=self.ids["production"])
        )
        self.operator.do("deployment:schedule", deployment)
        self.deployment[version] = deployment
        return deployment

    def checks_done(self, deployment: int) -> None:
        """Wait until the deployment's checks are finished and only the second person's verification is missing."""
        self.finished(deployment, {"verifying"})

        def look() -> bool:
            found = self.service.deployment_status(deployment)
            if found["state"] == "awaiting_decision":
                raise StoryFailed(f"deployment {deployment} waits for a decision: {found['steps']}")
            return all(step["state"] == "succeeded" for step in found["steps"])

        until(f"the checks of deployment {deployment}", look)

    def verify(self, deployment: int) -> None:
        """Verify a deployment as the second operator."""
        self.second_operator.attempt(
            "deployment:verify", deployment, confirmed=list(self.manual_checks), reason="looked at it"
        )


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)
