"""Chapter 1: people, access, procedure, targets, and 1.2.0 registered as the deployed version."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from releases.demo import repository, targets
from releases.demo.site import Ci, Person, StoryFailed
from releases.demo.stage import Stage, now
from releases.procedures.load import default_text

# With one measurement a second, 24 s leave room for one that is lost on a busy machine (95 % are required).
MONITORING_SECONDS, INTERVAL_SECONDS = 24, 1
CAST = {
    # key: (display name, 役職, roles)
    "manager": ("佐藤 玲子", "リリース管理者", ("release_manager", "committee")),
    "developer": ("鈴木 翔", "開発者", ("developer",)),
    "committee_a": ("高橋 真一", "委員", ("committee",)),
    "committee_b": ("田中 由美", "委員", ("committee",)),
    "operator": ("渡辺 健", "運用担当", ("operator",)),
    "second_operator": ("伊藤 彩", "運用担当", ("operator",)),
    "auditor": ("山本 誠", "監査人", ("auditor",)),
}


def play(stage: Stage) -> dict[str, Any]:
    """Set everything up; the author has a committee seat too, so that only their authorship forbids their approval."""
    first, second = administrators(stage)
    add_people(stage, first, second)
    _procedure(stage)
    _repository(stage)
    _targets(stage)
    measured = {}
    for name, place in stage.places.items():
        found, health = asdict(place.measure()), place.health()
        right = found["code"] == stage.tree("1.2.0") and health.get("version") == "1.2.0"
        stage.check(right, f"{name} does not run 1.2.0: {health}")
        measured[name] = {"version": health.get("version"), **{key: value[:16] for key, value in found.items()}}
    return {
        "people": {name: person.name for name, person in stage.people.items()},
        "procedure": stage.kept["procedure"],
        "registered versions, measured on the target": measured,
        "metric_sources": f"{MONITORING_SECONDS} s in the demo's own procedure, 86400 s in the default one",
        "response time": (
            "5 of 5 measurements in the demo's own procedure (its baseline is below a millisecond), else 3 of 5"
        ),
    }


def administrators(stage: Stage) -> tuple[Person, Person]:
    """Create the first administrator and, through them, the second; return both, signed in."""
    made = subprocess.run(
        [sys.executable, "manage.py", "create_first_administrator"], check=True, capture_output=True, text=True
    )
    created = json.loads(made.stdout)
    return second_administrator(stage, created["username"], created["invitation"])


def second_administrator(stage: Stage, username: str, invitation: str) -> tuple[Person, Person]:
    """Enrol the first administrator, who creates and invites the second one; return both."""
    first = Person(stage.base_url, username, "Administrator", stage.faults)
    first.enrol(invitation)
    second = Person(stage.base_url, "second_administrator", "Second administrator", stage.faults)
    account = _account(first, second, "system administrator")
    first.do("access:grant", account, role="administrator", reason="a second administrator for deciding roles")
    stage.people.update(administrator=first, second_administrator=second)
    return first, second


def _account(by: Person, person: Person, job_title: str, **more: Any) -> int:
    """Create the account of a person, who enrols by the invitation; return its id."""
    made = int(
        by.do(
            "account:create",
            username=person.username,
            display_name=person.name,
            kind="person",
            job_title=job_title,
            language="ja",
            **more,
        )
    )
    person.enrol(by.operate("account:invite", made, reason="new here").body["secret"])
    return made


def add_people(stage: Stage, first: Person, second: Person) -> None:
    """Create the people of CAST with their roles, and the service account of CI with a token."""
    waiting = []
    for key, (name, title, roles) in CAST.items():
        person = Person(stage.base_url, key, name, stage.faults)
        stage.people[key] = person
        account = _account(first, person, title, git_addresses=f"{key}@datasets.example")
        stage.ids[key] = account
        for role in roles:
            grant = first.do("access:grant", account, role=role, reason=f"{title} of the dataset service")
            if role in ("release_manager", "operator", "committee"):
                waiting.append(grant)
    # A grant that nobody needs: were the refusal missing, the other chapters would go on.
    spare = first.do("access:grant", stage.ids["second_operator"], role="committee", reason="a seat to be decided on")
    first.refused("access:confirm", spare)
    second.attempt("access:revoke", spare, reason="the committee is complete")
    for grant in waiting:
        second.attempt("access:confirm", grant)
    requests = second.links(
        "/admin/environments/requestedchange/?decided_at__isempty=1", r"requestedchange/(\d+)/change/"
    )
    first.refused("requested_change:confirm", requests[0])
    for change in requests:
        second.attempt("requested_change:confirm", change)
    service = int(first.do("account:create", username="ci", display_name="CI", kind="service", language="en"))
    grant = first.do("access:grant", service, role="ci", reason="continuous integration of the dataset service")
    second.do("access:confirm", grant)
    stage.ids["ci"] = service
    _environments(stage)
    scope = [stage.ids[name] for name in targets.ENVIRONMENTS]
    answer = first.operate("token:issue", service, days=30, environments=scope)
    stage.ci = Ci(stage.base_url, answer.body["secret"])


def _procedure(stage: Stage) -> None:
    text = default_text()
    for wanted, put in (
        ('version = "1.0.1"\n', 'version = "1.0.2-demo.1"\n'),
        ("duration_seconds = 86400", f"duration_seconds = {MONITORING_SECONDS}"),
        ("monitoring_seconds = 86400", f"monitoring_seconds = {MONITORING_SECONDS}"),
        ('limit = "3"\nk = 3', 'limit = "3"\nk = 5'),
        ("interval_seconds = 60", f"interval_seconds = {INTERVAL_SECONDS}"),
    ):
        if wanted not in text:
            raise StoryFailed(f"the default procedure has no line {wanted!r}")
        text = text.replace(wanted, put, 1)
    text += """
[[history]]
date = 2024-03-23
version = "1.0.2-demo.1"
ja = "デモ用に監視を短縮"
en = "Monitoring shortened for the demo"
origin = "default"
"""
    put_into_effect(stage, text, "the demo cannot wait for 24 hours")
    defaults, written = len(re.findall(r'origin = "default"', text)), len(re.findall(r'origin = "written"', text))
    stage.kept["procedure"] = {
        "active": "1.0.2-demo.1, by two of the committee",
        "values of the written procedure": written,
        "Ringi defaults": defaults,
    }


def put_into_effect(stage: Stage, text: str, reason: str) -> None:
    """Load a procedure document; two members of the committee approve it."""
    procedure = stage.manager.do("procedure:load", content=text, reason=reason)
    approval_request_id = stage.manager.do("procedure:submit", procedure, reason=reason)
    stage.committee_a.approve(approval_request_id)
    stage.committee_b.approve(approval_request_id)


def _repository(stage: Stage) -> None:
    developer = (stage.people["developer"].name, "developer@datasets.example")
    releaser = (stage.people["manager"].name, "manager@datasets.example")
    stage.built = repository.build(
        stage.state / "targets" / "repository",
        people={"developer": developer, "release_manager": releaser},
        day=now().date(),
    )


def _environments(stage: Stage) -> None:
    page = stage.manager.page("/admin/environments/environment/")
    for name in targets.ENVIRONMENTS:
        stage.ids[name] = _environment_id(stage, page, name)


def _targets(stage: Stage) -> None:
    stage.places = targets.make(stage.state)
    stage.kept["tests database"] = targets.own_database("tests")
    stage.ids["datasets"] = stage.manager.do(
        "application:create",
        slug="datasets",
        name="データセット管理システム",
        repository=str(stage.repository.path),
        signers=stage.repository.allowed_signers.read_text(),
        tag_format="v{version}",
    )
    for name, place in stage.places.items():
        targets.lay_first(place, stage.repository)
        target = stage.place(
            name,
            "target:create",
            application_id=stage.ids["datasets"],
            environment_id=stage.ids[name],
            root=str(place.root),
            **as_fields(place.settings),
        )
        chosen = stage.configure(name)
        pointer = stage.operator.do(
            "deployed_version:register",
            target,
            version="1.2.0",
            configuration_id=chosen,
            service="runs",
            reason="runs here already",
        )
        stage.operator.refused("deployed_version:confirm", pointer)
        stage.second_operator.attempt("deployed_version:confirm", pointer)


def as_fields(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return target options as the form takes them: by dotted name, commands on one line."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= as_fields(value, f"{above}{name}.")
        else:
            found[above + name] = shlex.join(value) if isinstance(value, list) else str(value)
    return found


def _environment_id(stage: Stage, page: str, name: str) -> int:
    for pk in dict.fromkeys(re.findall(r"/admin/environments/environment/(\d+)/", page)):
        if f">{name}<" in re.sub(r"\s+", "", stage.manager.page(f"/admin/environments/environment/{pk}/change/")):
            return int(pk)
    raise StoryFailed(f"the admin lists no environment {name}")
