"""The life of an application in an organisation: registration, production, a broken version, rollback, a draft."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from typing import Any

from environments.targets.configuration_file import render_configuration
from environments.targets.target import journal_lines
from releases.demo.site import plain, until
from tests.applications.organisation import ENVIRONMENTS, Organisation, Target


class Story:
    """The operations in the order of a first month; each returns what the table shows."""

    def __init__(self, organisation: Organisation) -> None:
        self.at, self.what = organisation, organisation.what
        self.by_hand: dict[str, subprocess.Popen[bytes]] = {}

    def place(self, name: str) -> Target:
        """Return a target by its environment."""
        return self.at.places[name]

    # -- by hand ---------------------------------------------------------------------------------------------------

    def start_by_hand(self, name: str) -> None:
        """Start the deployed version as operators do without Ringi, and wait until it answers."""
        place = self.place(name)
        self.by_hand[name] = self.what.start_by_hand(place)
        until(f"{name} to answer by hand", lambda: self.what.version_served(place), 20)

    def end_by_hand(self, name: str) -> None:
        """End the process that was started by hand, with its children."""
        process = self.by_hand.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(15)

    def end(self) -> None:
        """End the remaining processes."""
        for name in list(self.by_hand):
            self.end_by_hand(name)
        for name in self.at.places:
            self.what.end(self.place(name))

    # -- operations -------------------------------------------------------------------------------------------------

    def register(self, *names: str) -> None:
        """Register the version that runs in environments (none: in all), started by hand, as the deployed version."""
        for name in names or ENVIRONMENTS:
            place = self.place(name)
            self.at.lay_by_hand(name)
            values = place.values() | self.what.secrets(place)
            (place.root / "shared" / "config.env").write_bytes(render_configuration(values))
            self.start_by_hand(name)
            pointer = self.at.operator.do(
                "deployed_version:register",
                self.at.ids[f"target {name}"],
                version=self.what.before,
                service="runs",
                configuration_id=self.at.configure(name),
                reason="runs here since last year",
            )
            self.at.second_operator.do("deployed_version:confirm", pointer)

    def deployed_by_ci(self, version: str, environment: str) -> dict[str, Any]:
        """Let CI request a deployment and return it once its state no longer changes."""
        pk = self.at.service.demand(
            "POST",
            "/ci/deployments",
            json={"application": self.at.application, "version": version, "environment": environment},
        )["id"]
        return self.ended(pk)

    def ended(self, pk: int, seconds: float = 90) -> dict[str, Any]:
        """Return a deployment once it neither runs nor waits for its start."""
        moving = {"requested", "scheduled", "queued", "running", "rolling_back", "stopping", "verifying", "monitoring"}

        def look() -> dict[str, Any] | None:
            found = self.at.service.deployment_status(pk)
            return None if found["state"] in moving else found

        until(f"deployment {pk} to rest", look, seconds)
        return dict(self.at.service.demand("GET", f"/deployments/{pk}"))

    def roll_back(self, deployment: int, cause: str = "major_failure") -> dict[str, Any]:
        """Raise, assess and authorise a rollback by hand; return the deployment at its end."""
        operator, other = self.at.operator, self.at.second_operator
        rollback = operator.do("rollback:raise", deployment, cause=cause, note="it answers with errors")
        self.at.manager.do("rollback:assess", rollback, impact="all users", method="rollback", timing="now")
        items = ["notify_stakeholders", "notify_users", "share_plan"]
        self.at.manager.do("rollback:communicate", rollback, items=items, stated="by telephone")
        until("what was written to be counted", lambda: self._authorised(other, rollback), 60, 0.5)
        # One that waits for a decision goes on waiting until the rollback begins.
        until("the rollback to begin", lambda: self._state(deployment) != "awaiting_decision", 60)
        self.at.finished(deployment, {"rolled_back"})
        return dict(self.at.service.demand("GET", f"/deployments/{deployment}"))

    def _state(self, deployment: int) -> str:
        return str(self.at.service.deployment_status(deployment)["state"])

    @staticmethod
    def _authorised(by: Any, rollback: int) -> bool:
        answer = by.operate("rollback:authorise", rollback, digest=by.shown_digest(rollback, "rollback:authorise"))
        return bool(answer.status == 200)

    def said(self, deployment: int, word: str) -> str:
        """Return the line with a word on a deployment's page, as an operator reads it; "" without one."""
        text = plain(self.at.operator.page(f"/admin/deployment/{deployment}/"))
        return next((line.strip() for line in text.splitlines() if word in line), "")

    def open_step(self, deployment: int) -> int:
        """Return the step that awaits a decision of a person other than the one who scheduled the deployment."""
        (step,) = self.at.second_operator.links(
            f"/admin/deployment/{deployment}/", r"/admin/operation/step/retry/(\d+)/"
        )
        return step

    def effects(self, environment: str, deployment: int) -> Counter[str]:
        """Return how often the target's own journal holds each effect of a deployment."""
        return Counter(
            line["effect"]
            for line in journal_lines(self.place(environment).spec, deployment=f"deployment:{deployment}")
        )
