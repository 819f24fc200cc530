"""Pipelines of others: GitHub Actions, GitLab CI, and any server that speaks a small protocol of three calls.

Facts of the interfaces: docs.github.com/rest/actions and docs.gitlab.com/api/pipelines. Each provider starts a run that
carries a key, finds it again by this key, tells its state, and cancels it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from environments.targets.words import gettext as _
from releases.sources.exchange import GATEWAY, Fetched

# A request: method, address, document → the answer. Raises NoAnswer.
Send = Callable[[str, str, Any], Fetched]
MOST_LINES = 40


class Refused(Exception):
    """The provider refused a call; the message has its status and its own words, and no secret.

    by_gateway: a gateway before it answered, so that the call may have had its effect.
    """

    by_gateway = False


@dataclass(frozen=True)
class Run:
    """One run. state: running, succeeded or failed. says: the provider's own word for it. lines: what became of its
    jobs, or the end of a log. commit: which it runs; empty where the provider does not say.
    """

    id: str
    url: str
    state: str
    says: str
    lines: tuple[str, ...] = ()
    commit: str = ""


@dataclass(frozen=True)
class Provider(ABC):
    """One project at one provider. url: without a slash at the end. commit: the only one that a run may be of; empty:
    any. waits_in: the environment of the provider at which a run that is there already waits.
    """

    url: str
    project: str
    workflow: str
    send: Send
    commit: str = ""
    waits_in: str = ""

    @abstractmethod
    def start(self, ref: str, inputs: Mapping[str, str], key: str) -> Run | None:
        """Start a run; None where the provider does not say which. Raises Refused, NoAnswer."""

    @abstractmethod
    def find(self, key: str) -> Run | None:
        """Return the run that carries a key; None where none is listed. Raises Refused, NoAnswer."""

    @abstractmethod
    def status(self, run: Run) -> Run:
        """Return a run as it is now. Raises Refused, NoAnswer."""

    @abstractmethod
    def cancel(self, run: Run) -> None:
        """Have a run ended. Raises Refused, NoAnswer."""

    def ended(self, run: Run) -> Run:
        """Return a run that has ended with what is worth to be read about its end."""
        return run

    def ask(self, method: str, path: str, document: Any = None, *, missing: bool = False) -> Any:
        """Return the answer as plain values; None for an empty one, and for 404 where that is allowed."""
        answer = self.send(method, f"{self.url}{path}", document)
        if answer.status == 404 and missing:
            return None
        text = answer.body.decode("utf-8", "replace")
        if not 200 <= answer.status < 300:
            refused = Refused(f"{method} {path}: {answer.status} {text[:300]}")
            refused.by_gateway = answer.status in GATEWAY
            raise refused
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            return text


class GitHub(Provider):
    """GitHub Actions. The workflow has the inputs that are given, and its `run-name` shows `inputs.ringi_key`."""

    def start(self, ref: str, inputs: Mapping[str, str], key: str) -> Run | None:
        """Dispatch the workflow; servers before 2026 answer without the run."""
        made = self.ask(
            "POST",
            f"/repos/{self.project}/actions/workflows/{quote(self.workflow, safe='')}/dispatches",
            {"ref": ref, "inputs": {**inputs, "ringi_key": key}, "return_run_details": True},
        )
        if not isinstance(made, Mapping) or "workflow_run_id" not in made:
            return None
        return Run(str(made["workflow_run_id"]), str(made.get("html_url", "")), "running", "queued")

    def find(self, key: str) -> Run | None:
        """Look for the key in the titles of the newest runs of the workflow."""
        query = urlencode({"event": "workflow_dispatch", "per_page": 100})
        path = f"/repos/{self.project}/actions/workflows/{quote(self.workflow, safe='')}/runs"
        rows = self.ask("GET", f"{path}?{query}")["workflow_runs"]
        # The whole word: the key of step 1 is a part of that of step 10.
        return next((_github_run(row) for row in rows if key in str(row.get("display_title", "")).split()), None)

    def status(self, run: Run) -> Run:
        """Read the run."""
        return _github_run(self.ask("GET", f"/repos/{self.project}/actions/runs/{run.id}"))

    def cancel(self, run: Run) -> None:
        """Ask for its end; one that has ended already answers 409."""
        try:
            self.ask("POST", f"/repos/{self.project}/actions/runs/{run.id}/cancel")
        except Refused as refused:
            if ": 409 " not in str(refused):
                raise

    def ended(self, run: Run) -> Run:
        """Add what became of each job, and which steps of it failed."""
        jobs = self.ask("GET", f"/repos/{self.project}/actions/runs/{run.id}/jobs?per_page=100")["jobs"]
        lines = []
        for job in jobs:
            lines.append(f"{job['name']}: {job.get('conclusion') or job.get('status')}")
            failed = [step for step in job.get("steps") or () if step.get("conclusion") == "failure"]
            lines += [f"  {step['name']}: failure" for step in failed]
        return replace(run, lines=tuple(lines[-MOST_LINES:]))


def _github_run(row: Mapping[str, Any]) -> Run:
    said = str(row.get("conclusion") or row["status"])
    # Only `success` passes: neutral, skipped and stale say that nothing was decided.
    state = "running" if row["status"] != "completed" else "succeeded" if said == "success" else "failed"
    return Run(str(row["id"]), str(row["html_url"]), state, said, commit=str(row["head_sha"]))


class GitHubWaiting(GitHub):
    """GitHub Actions, where a run of the commit waits for the review of an environment by Ringi's account there.

    Facts: docs.github.com/rest/actions/workflow-runs, pending deployments and their reviews; events that trigger
    workflows. A run for a pull request has its head commit and runs another: a merge with the base, or the base. One
    that a person or another run began has inputs that are not in the commit.
    """

    EVENTS: ClassVar = frozenset({"push", "create", "release", "schedule"})

    def start(self, ref: str, inputs: Mapping[str, str], key: str) -> Run | None:
        """Approve the newest run that waits, in words that hold the key; None where none waits."""
        for row in self._runs():
            path = f"/repos/{self.project}/actions/runs/{row['id']}/pending_deployments"
            places = [one["environment"] for one in self.ask("GET", path)]
            if ids := [place["id"] for place in places if place["name"] == self.waits_in]:
                self.ask("POST", path, {"environment_ids": ids, "state": "approved", "comment": f"Ringi {key}"})
                return _github_run(row)
        return None

    def find(self, key: str) -> Run | None:
        """Look for the run that was approved with the key."""
        for row in self._runs():
            given = self.ask("GET", f"/repos/{self.project}/actions/runs/{row['id']}/approvals")
            if any(key in str(one["comment"]).split() for one in given if one["state"] == "approved"):
                return _github_run(row)
        return None

    def _runs(self) -> list[Mapping[str, Any]]:
        """Return the newest runs of the workflow that run the commit, and nothing beside it."""
        query = urlencode({"head_sha": self.commit, "per_page": 100})
        path = f"/repos/{self.project}/actions/workflows/{quote(self.workflow, safe='')}/runs"
        rows = self.ask("GET", f"{path}?{query}")["workflow_runs"]
        return [row for row in rows if row["head_sha"] == self.commit and row["event"] in self.EVENTS][:20]


class GitLab(Provider):
    """GitLab CI. The inputs are variables of the pipeline, and its `workflow: name` is `$RINGI_KEY`."""

    @property
    def _path(self) -> str:
        return f"/api/v4/projects/{quote(self.project, safe='')}"

    def start(self, ref: str, inputs: Mapping[str, str], key: str) -> Run | None:
        """Create the pipeline."""
        variables = [{"key": name, "value": value} for name, value in {**inputs, "RINGI_KEY": key}.items()]
        return _gitlab_run(self.ask("POST", f"{self._path}/pipeline", {"ref": ref, "variables": variables}))

    def find(self, key: str) -> Run | None:
        """Ask for the pipelines of this name."""
        rows = self.ask("GET", f"{self._path}/pipelines?{urlencode({'name': key, 'source': 'api'})}")
        return next((_gitlab_run(row) for row in rows if str(row.get("name")) == key), None)

    def status(self, run: Run) -> Run:
        """Read the pipeline."""
        return _gitlab_run(self.ask("GET", f"{self._path}/pipelines/{run.id}"))

    def cancel(self, run: Run) -> None:
        """Ask for its end."""
        self.ask("POST", f"{self._path}/pipelines/{run.id}/cancel")

    def ended(self, run: Run) -> Run:
        """Add the states of the jobs, and the end of the log of the first that failed."""
        jobs = self.ask("GET", f"{self._path}/pipelines/{run.id}/jobs?per_page=100")
        lines = [f"{job['name']}: {job['status']}" for job in jobs]
        for job in [job for job in jobs if job["status"] == "failed"][:1]:
            trace = self.ask("GET", f"{self._path}/jobs/{job['id']}/trace", missing=True)
            lines += str(trace or "").splitlines()[-20:]
        return replace(run, lines=tuple(lines[-MOST_LINES:]))


def _gitlab_run(row: Mapping[str, Any]) -> Run:
    said = str(row["status"])
    ends = {"success": "succeeded", "failed": "failed", "canceled": "failed", "skipped": "failed"}
    return Run(str(row["id"]), str(row["web_url"]), ends.get(said, "running"), said, commit=str(row["sha"]))


class Webhook(Provider):
    """Any other server, such as one in front of Jenkins: POST starts, GET tells, DELETE cancels; `?key=` names a run.

    POST gets {"key", "ref", "inputs"}. POST and GET answer {"url", "state", "lines"?}; state: running, succeeded or
    failed. GET answers 404 for a key that it does not know.
    """

    def start(self, ref: str, inputs: Mapping[str, str], key: str) -> Run | None:
        """Post the request."""
        made = self.ask("POST", "", {"key": key, "ref": ref, "inputs": dict(inputs)})
        return _webhook_run(made, key) if made is not None else None

    def find(self, key: str) -> Run | None:
        """Ask for the key."""
        row = self.ask("GET", f"?{urlencode({'key': key})}", missing=True)
        return _webhook_run(row, key) if row is not None else None

    def status(self, run: Run) -> Run:
        """Ask for the run."""
        return _webhook_run(self.ask("GET", f"?{urlencode({'key': run.id})}"), run.id)

    def cancel(self, run: Run) -> None:
        """Ask for its end."""
        self.ask("DELETE", f"?{urlencode({'key': run.id})}", missing=True)


def _webhook_run(row: Any, key: str) -> Run:
    if not isinstance(row, Mapping) or row.get("state") not in ("running", "succeeded", "failed"):
        raise Refused(_("the answer names no state: %(answer)s") % {"answer": str(row)[:200]})
    lines = tuple(str(line) for line in row.get("lines", ())[-MOST_LINES:])
    return Run(key, str(row.get("url", "")), str(row["state"]), str(row["state"]), lines)


PROVIDERS: Mapping[str, type[Provider]] = {"github": GitHub, "gitlab": GitLab, "webhook": Webhook}
