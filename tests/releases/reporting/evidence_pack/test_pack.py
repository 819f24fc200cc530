"""The evidence of one change: the same bytes each time, everything in it, and every alteration found offline."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from audit.actor import Actor, acting
from audit.archive import Archive
from audit.clock import now
from audit.ledger.link import link_pending
from audit.models import Event
from audit.operation import operation
from environments.targets.message import Message
from releases.admin.components.change_history import operation_name
from releases.models import (
    DecisionRequest,
    DeploymentProcess,
    Document,
    Measurement,
    MonitoringPeriod,
    Release,
    Rollback,
    Waiver,
)
from releases.operations.meeting.record import decide, record
from releases.reporting.evidence_pack import pack
from tests.architecture.files import ROOT
from tests.releases.audited import WORKER, Made
from tests.releases.reporting.audit_tests.asking import forge, make

VERIFIER = ROOT / "audit" / "offline" / "ringi_verify_pack.py"


@pytest.fixture
def state(tmp_path: Path, made: Made, settings: Any) -> Path:
    """The test's own state folder, with the public key of the ledger signer that signed the copied ledger."""
    settings.STATE_DIR = tmp_path / "state"
    (settings.STATE_DIR / "ledger_signer").mkdir(parents=True)
    (settings.STATE_DIR / "ledger_signer" / "key.pub").write_bytes((made.signer / "key.pub").read_bytes())
    return Path(settings.STATE_DIR)


def packed(deployment: Any) -> bytes:
    out = io.BytesIO()
    pack.write(deployment.release, out, operation_name=operation_name)
    return out.getvalue()


def content_of(deployment: Any) -> tuple[Any, dict[str, str]]:
    """Return the content of a pack: the change as JSON, and its page in each language."""
    with zipfile.ZipFile(io.BytesIO(packed(deployment))) as archive:
        pages = {language: archive.read(f"index.{language}.html").decode() for language in ("ja", "en")}
        return json.loads(archive.read("change.json")), pages


def verify(archive: bytes, folder: Path, *options: str) -> tuple[int, str]:
    """Run the offline verifier in its own process, without this project's modules."""
    file = folder / "pack.zip"
    file.write_bytes(archive)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(VERIFIER), str(file), *options], capture_output=True, text=True, cwd=folder
    )
    return done.returncode, done.stdout + done.stderr


def altered(archive: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Write the archive again with one member changed."""
    out = io.BytesIO()
    new = Archive(out)
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        for entry in old.namelist():
            new.add(entry, change(old.read(entry)) if entry == name else old.read(entry))
    new.close()
    return out.getvalue()


def test_the_same_facts_give_the_same_bytes(deployment: Any, state: Path, browsers: Callable[[str], Any]) -> None:
    """For every exporting person and language, any number of times, though each export is an event."""
    first = packed(deployment)
    taken = []
    for language in ("ja", "en"):
        client = browsers("auditor")
        client.cookies["django_language"] = language
        taken.append(b"".join(client.get(reverse("evidence-pack", args=[deployment.release.number])).streaming_content))
    assert taken == [first, first] and packed(deployment) == first
    exports = Event.objects.filter(operation="audit:export_pack")
    assert exports.count() == 2 and exports[0].contents["after"]["number"] == deployment.release.number


def test_a_used_waiver_stays_in_the_pack_and_other_waivers_change_nothing(deployment: Any, state: Path) -> None:
    """Later changes do not matter: refused waivers before it, its revocation afterwards."""
    start = Event.objects.filter(object=f"releases.Step:{deployment.steps.get(ordinal=1).pk}", operation="step:claim")[
        0
    ].at
    gate = deployment.release.procedure.document.gates_for(deployment.environment)[0].key
    hours = timedelta(hours=1)
    asked = {
        "release": deployment.release,
        "environment": deployment.environment,
        "gate": gate,
        "reason": "x",
        "until": start + hours,
    }
    make(Waiver, **asked, requested_by=deployment.requested_by)
    used = {
        **asked,
        "requested_by": deployment.requested_by,
        "approved_at": start - hours,
        "revoked_at": start + hours / 2,
    }
    make(Waiver, **used)
    with zipfile.ZipFile(io.BytesIO(packed(deployment))) as archive:
        change = json.loads(archive.read("change.json"))
    (found,) = (
        g for ran in change["deployments"] if ran["id"] == deployment.pk for g in ran["gates"] if g["key"] == gate
    )
    assert found["result"] == "waived" and found["waiver"] == Waiver.objects.latest("pk").pk


def test_a_refused_attempt_is_in_the_pack(deployment: Any, state: Path, browsers: Callable[[str], Any]) -> None:
    """An attempt to reopen the release without the right is in its evidence."""
    first = packed(deployment)
    answer = browsers("tester").post(
        reverse("operation", args=["release", "reopen_scope", deployment.release_id]), {"reason": "x"}
    )
    assert answer.status_code == 403
    with zipfile.ZipFile(io.BytesIO(packed(deployment))) as archive:
        page = archive.read("index.en.html").decode()
    assert packed(deployment) != first and re.search("<td>Tester</td>\\s*<td>Reopen scope", page)


def test_another_fact_gives_other_bytes(deployment: Any, state: Path) -> None:
    first = packed(deployment)
    forge(deployment.release, title="another title")
    assert packed(deployment) != first


def test_past_personal_data_stays_unchanged(deployment: Any, again: Any, state: Path, people: dict[str, Any]) -> None:
    """After a marriage, another department or a promotion, the evidence of the change is the same, byte by byte."""
    with again.acting_as("committee_a"):
        meeting = record(held_at=now(), attendees=(people["committee_a"].pk,), minutes="no objection")
        decide(meeting.pk, release_id=deployment.release_id, decision="approve")
    first = packed(deployment)
    for name in ("author_on_committee", "manager", "committee_a", "operator", "second_operator", "developer"):
        forge(people[name], display_name=f"Another {name}", affiliation="elsewhere", job_title="head", employee_id=name)
    assert packed(deployment) == first
    change, pages = content_of(deployment)
    editors = [who for who in change["people"] if who["part"] == "editor"]
    assert editors and all(who["at"] and who["roles"] for who in editors)
    assert not any("Another" in page or "elsewhere" in page for page in pages.values())


def test_a_worker_is_named_with_its_host(deployment: Any, state: Path) -> None:
    with acting(Actor(account_id=None, name="host:41", kind="worker", channel="worker")), operation("test:step") as op:
        op.about(deployment)
    assert all("<td>host:41</td>" in page for page in content_of(deployment)[1].values())


def test_the_rollback_reports_are_in_the_pack(deployment: Any, state: Path, people: dict[str, Any]) -> None:
    """Report, cause and prevention with their writers, checkers and approvers."""
    back = make(Rollback, deployment=deployment, cause="error_rate", raised_by=people["operator"], raised_at=now())
    for kind in ("report", "cause", "prevention"):
        make(Document, rollback=back, kind=kind, body=f"the {kind} in full", edited_by=people["developer"])
    change, pages = content_of(deployment)
    (there,) = (way for ran in change["deployments"] for way in ran["rollbacks"])
    assert [(text["kind"], text["edited_by"]["name"]) for text in there["documents"]] == [
        ("report", "Developer"),
        ("cause", "Developer"),
        ("prevention", "Developer"),
    ]
    assert all(f"the {kind} in full" in page for page in pages.values() for kind in ("report", "cause", "prevention"))


def test_the_deciding_meeting_is_in_the_pack_with_its_minutes(
    deployment: Any, again: Any, state: Path, people: dict[str, Any]
) -> None:
    """So are the events of the meeting's record before it was about this release."""
    with again.acting_as("committee_a"):
        attendees = (people["committee_a"].pk, people["committee_b"].pk)
        meeting = record(held_at=now(), attendees=attendees, minutes="Both saw the test report.")
    link_pending(connection)
    recorded = Event.objects.get(operation="meeting:record", kind="operation").ledger_entry.number
    with again.acting_as("committee_a"):
        decide(meeting.pk, release_id=deployment.release_id, decision="approve")
    change, pages = content_of(deployment)
    (found,) = change["meetings"]
    assert [who["name"] for who in found["attendees"]] == ["Committee A", "Committee B"]
    assert found["minutes"] == "Both saw the test report." and found["recorded_by"]["name"] == "Committee A"
    assert all("Both saw the test report." in page for page in pages.values())
    assert "<td>Committee A, Committee B</td>" in pages["en"] and "<td>Committee A、Committee B</td>" in pages["ja"]
    with zipfile.ZipFile(io.BytesIO(packed(deployment))) as archive:
        lines = archive.read("ledger/events.jsonl").splitlines()
    assert recorded in {json.loads(line)["number"] for line in lines}


def test_the_pack_holds_every_item_that_auditors_request(deployment: Any, state: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed(deployment))) as archive:
        assert archive.testzip() is None
        change = json.loads(archive.read("change.json"))
        manifest = json.loads(archive.read("manifest.json"))
        names = set(archive.namelist())
        events = [json.loads(line) for line in archive.read("ledger/events.jsonl").splitlines()]
        pages = {language: archive.read(f"index.{language}.html").decode() for language in ("ja", "en")}
        evidence = {e["file"]: archive.read(e["file"]) for e in change["evidence"]}
    (approval_request,) = change["approval_requests"]
    assert {a["account"]["name"] for a in approval_request["approval_decisions"]} == {"Committee A", "Committee B"}
    assert all(
        a["signature"]["meaning"] and a["digest"] == approval_request["digest"]
        for a in approval_request["approval_decisions"]
    )
    production = change["deployments"][-1]
    assert production["gates"] and {gate["result"] for gate in production["gates"]} == {"passed"}
    assert {step["attempts"][0]["output_digest"] for step in production["steps"]} == {"e" * 64}
    assert {p["part"] for p in change["people"]} >= {
        "author",
        "approval_requester",
        "approve",
        "deployment_scheduler",
        "deployment_verifier",
    }
    (scheduler,) = [p for p in change["people"] if p["part"] == "deployment_scheduler" and p["at"]]
    assert scheduler["name"] == "Operator" and scheduler["roles"] == ["operator"]
    assert len(evidence) == 9 and b"<testsuite" in b"".join(evidence.values())
    assert set(manifest["files"]) | {"manifest.json", "manifest.dsse.json"} == names
    assert manifest["ledger"]["unproven"] == [] and len(events) == manifest["ledger"]["events"] > 100
    assert {"ledger/checkpoint.txt", "keys/ledger-signer.pub", "keys/statements.pub", "procedure.json"} <= names
    assert "一つの変更の証跡" in pages["ja"] and "Evidence of one change" in pages["en"]
    assert all("Committee A" in page and "Second Operator" in page for page in pages.values())
    assert "03-0000-0000" not in json.dumps(change) and "hidden-production" not in json.dumps(change)


def test_the_deployment_process_of_the_release_is_in_it(deployment: Any, people: dict[str, Any]) -> None:
    about = {"application": deployment.application, "author": people["developer"], "reason": "our own steps"}
    process = make(DeploymentProcess, number=1, content={"format": 1}, digest="d" * 64, **about)
    forge(deployment.release, process=process)
    with zipfile.ZipFile(io.BytesIO(packed(deployment))) as archive:
        assert json.loads(archive.read("deployment-process.json")) == {"format": 1}
        assert "deployment-process.json" in json.loads(archive.read("manifest.json"))["files"]


def test_each_team_role_has_the_time_of_its_use(deployment: Any, state: Path, people: dict[str, Any]) -> None:
    """Not that of the start or of the alarm, which may be days away; and no role's name is in the other language."""
    waiver = make(
        Waiver,
        release=deployment.release,
        gate="coverage",
        environment=deployment.environment,
        reason="late",
        until=now(),
        requested_by=people["manager"],
        requested_at=now(),
        decided_by=people["project_manager"],
        approved_at=now(),
    )
    rollback = make(Rollback, deployment=deployment, cause="manual", raised_at=now(), raised_by=people["operator"])
    forge(rollback, authorised_by=people["second_operator"])
    make(
        DecisionRequest,
        deployment=deployment,
        step=deployment.steps.all()[0],
        requested_at=now(),
        due_at=now(),
        on_timeout="keep",
        answer="retry",
        answered_by=people["operator"],
        answered_at=now(),
    )
    change, pages = content_of(deployment)

    link_pending(connection)

    def written(column: str, row: Any) -> str:
        events = Event.objects.filter(kind="row", object=f"{row._meta.label}:{row.pk}").order_by("ledger_entry__number")
        return next(e.contents["ts"] for e in events if (e.contents["after"] or {}).get(column) is not None)

    at = {part["part"]: part for part in change["people"]}
    assert at["deployment_scheduler"]["at"] == written("scheduled_by_id", deployment) and at["deployment_scheduler"][
        "roles"
    ] == ["operator"]
    assert at["deployment_scheduler"]["at"] < change["deployments"][-1]["started_at"]
    assert at["rollback_authoriser"]["at"] == written("authorised_by_id", rollback)
    assert (at["waiver_requester"]["name"], at["waiver_decider"]["name"]) == ("Manager", "Project Manager")
    assert at["waiver_decider"]["at"] == waiver.approved_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert "回答者" in pages["ja"] and not any(part in pages["ja"] for part in ("decision_responder", "waiver_decider"))


def test_a_workers_reason_is_in_the_language_of_its_page(
    deployment: Any, state: Path, browsers: Callable[[str], Any]
) -> None:
    """A worker records a message with its values, and each page puts it into words."""
    reason = str(Message("%(k)d of %(n)d measurements at or over the limit", {"k": 3, "n": 5}))
    with acting(WORKER), operation("release:close", (Release, deployment.release_id), reason=reason) as op:
        op.get(Release).title = "x"
    _change, pages = content_of(deployment)
    assert "3 of 5 measurements at or over the limit" in pages["en"] and "5 回の測定のうち 3 回" in pages["ja"]
    page = browsers("auditor").get(reverse("timeline")).content.decode()
    assert "3 of 5 measurements at or over the limit" in page
    assert not any("⟦" in one for one in (*pages.values(), page))


def test_the_monitoring_series_is_in_the_pack(deployment: Any, state: Path) -> None:
    from datetime import timedelta

    monitoring = MonitoringPeriod.objects.get(deployment=deployment)
    for n in range(3):
        at = monitoring.started_at + timedelta(minutes=n)
        Measurement.objects.create(
            period=monitoring, due_at=at, at=at, up=True, values={"error_rate": {"value": 0.1 * n}}
        )
    with zipfile.ZipFile(io.BytesIO(packed(deployment))) as archive:
        lines = archive.read(f"measurements/{monitoring.pk}.jsonl").splitlines()
    assert [json.loads(line)["values"]["error_rate"]["value"] for line in lines] == ["0.0", "0.1", "0.2"]
