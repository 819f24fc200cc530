"""The evidence of one change: the same bytes each time, everything in it, and every alteration found offline."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.urls import reverse
from psycopg.conninfo import make_conninfo

from audit.actor import Actor, acting
from audit.clock import now
from audit.dsse import Signer
from audit.ledger.checkpoint import LedgerSigner
from audit.models import Event
from audit.operation import operation
from environments.targets.message import Message
from releases.admin.components.change_history import operation_name
from releases.models import DecisionRequest, Document, Measurement, MonitoringPeriod, Release, Rollback, Waiver
from releases.operations.meeting.record import decide, record
from releases.reporting.evidence_pack import pack
from tests.architecture.files import ROOT
from tests.audit.envelopes import opened
from tests.releases.audited import WORKER, Made, sign_ledger
from tests.releases.reporting.audit_tests.asking import forge, make

VERIFIER = ROOT / "audit" / "offline" / "ringi_verify_pack.py"


@pytest.fixture
def state(tmp_path: Path, made: Made, settings: Any) -> Path:
    """A state folder of the test's own, with the public key of the ledger signer that signed the copied ledger."""
    settings.STATE_DIR = tmp_path / "state"
    (settings.STATE_DIR / "ledger_signer").mkdir(parents=True)
    (settings.STATE_DIR / "ledger_signer" / "key.pub").write_bytes((made.signer / "key.pub").read_bytes())
    return Path(settings.STATE_DIR)


def packed(run: Any) -> bytes:
    out = io.BytesIO()
    pack.write(run.release, out, operation_name=operation_name)
    return out.getvalue()


def told(run: Any) -> tuple[Any, dict[str, str]]:
    """Return what a pack tells: the change as JSON, and its page in each language."""
    with zipfile.ZipFile(io.BytesIO(packed(run))) as archive:
        pages = {language: archive.read(f"index.{language}.html").decode() for language in ("ja", "en")}
        return json.loads(archive.read("change.json")), pages


def verify(archive: bytes, folder: Path, *options: str) -> tuple[int, str]:
    """Run the offline verifier in a process of its own, without this project's modules."""
    file = folder / "pack.zip"
    file.write_bytes(archive)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(VERIFIER), str(file), *options], capture_output=True, text=True, cwd=folder
    )
    return done.returncode, done.stdout + done.stderr


def altered(archive: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Write the archive again with one member changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry, change(content) if entry.filename == name else content)
    return out.getvalue()


def test_the_same_facts_give_the_same_bytes(run: Any, state: Path, browsers: Callable[[str], Any]) -> None:
    """Whoever takes it, in whichever language, however often, and though taking it is an event."""
    first = packed(run)
    taken = []
    for language in ("ja", "en"):
        client = browsers("auditor")
        client.cookies["django_language"] = language
        taken.append(b"".join(client.get(reverse("evidence-pack", args=[run.release.number])).streaming_content))
    assert taken == [first, first] and packed(run) == first
    exports = Event.objects.filter(operation="audit:export_pack")
    assert exports.count() == 2 and exports[0].contents["after"]["number"] == run.release.number


def test_a_waiver_that_was_used_stays_one_and_another_before_it_changes_nothing(run: Any, state: Path) -> None:
    """Whatever has become of it since: refused ones before it, its withdrawal afterwards."""
    start = Event.objects.filter(object=f"releases.Step:{run.steps.get(ordinal=1).pk}", operation="step:claim")[0].at
    gate = run.release.procedure.document.gates_for("production")[0].key
    hours = timedelta(hours=1)
    asked = {
        "release": run.release,
        "environment": run.environment,
        "gate": gate,
        "reason": "x",
        "until": start + hours,
    }
    make(Waiver, **asked, requested_by=run.requested_by)
    used = {**asked, "requested_by": run.requested_by, "approved_at": start - hours, "revoked_at": start + hours / 2}
    make(Waiver, **used)
    with zipfile.ZipFile(io.BytesIO(packed(run))) as archive:
        change = json.loads(archive.read("change.json"))
    (found,) = (g for ran in change["deployments"] if ran["id"] == run.pk for g in ran["gates"] if g["key"] == gate)
    assert found["result"] == "waived" and found["waiver"] == Waiver.objects.latest("pk").pk


def test_an_attempt_is_a_fact_too(run: Any, state: Path, browsers: Callable[[str], Any]) -> None:
    """Somebody without the right who tried to amend the release is in its evidence."""
    first = packed(run)
    answer = browsers("tester").post(
        reverse("operation", args=["release", "reopen_scope", run.release_id]), {"reason": "x"}
    )
    assert answer.status_code == 403
    with zipfile.ZipFile(io.BytesIO(packed(run))) as archive:
        page = archive.read("index.en.html").decode()
    assert packed(run) != first and "<td>Tester</td><td>Reopen scope" in page


def test_another_fact_gives_other_bytes(run: Any, state: Path) -> None:
    first = packed(run)
    forge(run.release, title="another title")
    assert packed(run) != first


def test_people_stay_who_they_were(run: Any, again: Any, state: Path, people: dict[str, Any]) -> None:
    """Married, moved to another department, promoted: the evidence of the change is the same, byte by byte."""
    with again.acting_as("committee_a"):
        meeting = record(held_at=now(), attendees=(people["committee_a"].pk,), minutes="no objection")
        decide(meeting.pk, release_id=run.release_id, decision="approve")
    first = packed(run)
    for name in ("author_on_committee", "manager", "committee_a", "operator", "second_operator", "developer"):
        forge(people[name], display_name=f"Another {name}", affiliation="elsewhere", job_title="head", employee_id=name)
    assert packed(run) == first
    change, pages = told(run)
    editors = [who for who in change["people"] if who["part"] == "editor"]
    assert editors and all(who["at"] and who["roles"] for who in editors)
    assert not any("Another" in page or "elsewhere" in page for page in pages.values())


def test_a_worker_is_named_with_its_host(run: Any, state: Path) -> None:
    with acting(Actor(account_id=None, name="host:41", kind="worker", channel="worker")), operation("test:step") as op:
        op.about(run)
    assert all("<td>host:41</td>" in page for page in told(run)[1].values())


def test_the_reports_of_a_rollback_are_in_it(run: Any, state: Path, people: dict[str, Any]) -> None:
    """Report, cause and prevention with who wrote, checked and approved them."""
    back = make(Rollback, deployment=run, cause="error_rate", raised_by=people["operator"], raised_at=now())
    for kind in ("report", "cause", "prevention"):
        make(Document, rollback=back, kind=kind, body=f"the {kind} in full", edited_by=people["developer"])
    change, pages = told(run)
    (there,) = (way for ran in change["deployments"] for way in ran["rollbacks"])
    assert [(text["kind"], text["edited_by"]["name"]) for text in there["documents"]] == [
        ("report", "Developer"), ("cause", "Developer"), ("prevention", "Developer"),
    ]  # fmt: skip
    assert all(f"the {kind} in full" in page for page in pages.values() for kind in ("report", "cause", "prevention"))


def test_the_meeting_that_decided_is_in_it_with_its_minutes(
    run: Any, again: Any, state: Path, people: dict[str, Any]
) -> None:
    """And so are the events of its record, before it was about this release."""
    with again.acting_as("committee_a"):
        attendees = (people["committee_a"].pk, people["committee_b"].pk)
        meeting = record(held_at=now(), attendees=attendees, minutes="Both saw the test report.")
    recorded = Event.objects.get(operation="meeting:record", kind="operation").ledger_entry.number
    with again.acting_as("committee_a"):
        decide(meeting.pk, release_id=run.release_id, decision="approve")
    change, pages = told(run)
    (found,) = change["meetings"]
    assert [who["name"] for who in found["attendees"]] == ["Committee A", "Committee B"]
    assert found["minutes"] == "Both saw the test report." and found["recorded_by"]["name"] == "Committee A"
    assert all("Both saw the test report." in page for page in pages.values())
    assert "<td>Committee A, Committee B</td>" in pages["en"] and "<td>Committee A、Committee B</td>" in pages["ja"]
    with zipfile.ZipFile(io.BytesIO(packed(run))) as archive:
        lines = archive.read("ledger/events.jsonl").splitlines()
    assert recorded in {json.loads(line)["number"] for line in lines}


def test_it_holds_all_that_auditors_ask_for(run: Any, state: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed(run))) as archive:
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


def test_each_duty_has_the_time_at_which_it_was_taken(run: Any, state: Path, people: dict[str, Any]) -> None:
    """Not that of the start or of the alarm, which may be days away; and nobody's duty is in the other language."""
    waiver = make(
        Waiver, release=run.release, gate="coverage", environment=run.environment, reason="late", until=now(),
        requested_by=people["manager"], requested_at=now(), decided_by=people["project_manager"], approved_at=now(),
    )  # fmt: skip
    rollback = make(Rollback, deployment=run, cause="manual", raised_at=now(), raised_by=people["operator"])
    forge(rollback, authorised_by=people["second_operator"])
    make(
        DecisionRequest, deployment=run, step=run.steps.all()[0], requested_at=now(), due_at=now(), on_timeout="keep", answer="retry",
        answered_by=people["operator"], answered_at=now(),
    )  # fmt: skip
    change, pages = told(run)

    def written(column: str, row: Any) -> str:
        events = Event.objects.filter(kind="row", object=f"{row._meta.label}:{row.pk}").order_by("ledger_entry__number")
        return next(e.contents["ts"] for e in events if (e.contents["after"] or {}).get(column) is not None)

    at = {part["part"]: part for part in change["people"]}
    assert at["deployment_scheduler"]["at"] == written("scheduled_by_id", run) and at["deployment_scheduler"][
        "roles"
    ] == ["operator"]
    assert at["deployment_scheduler"]["at"] < change["deployments"][-1]["started_at"]
    assert at["rollback_authoriser"]["at"] == written("authorised_by_id", rollback)
    assert (at["waiver_requester"]["name"], at["waiver_decider"]["name"]) == ("Manager", "Project Manager")
    assert at["waiver_decider"]["at"] == waiver.approved_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert "回答者" in pages["ja"] and not any(part in pages["ja"] for part in ("decision_responder", "waiver_decider"))


def test_a_reason_that_a_worker_gave_is_in_the_language_of_its_page(
    run: Any, state: Path, browsers: Callable[[str], Any]
) -> None:
    """A worker records a sentence with its values, and each page puts it into words."""
    reason = str(Message("%(k)d of %(n)d measurements at or over the limit", {"k": 3, "n": 5}))
    with acting(WORKER), operation("release:close", (Release, run.release_id), reason=reason) as op:
        op.get(Release).title = "x"
    _change, pages = told(run)
    assert "3 of 5 measurements at or over the limit" in pages["en"] and "5 回の測定のうち 3 回" in pages["ja"]
    page = browsers("auditor").get(reverse("timeline")).content.decode()
    assert "3 of 5 measurements at or over the limit" in page
    assert not any("⟦" in one for one in (*pages.values(), page))


def test_the_series_of_monitoring_is_in_it(run: Any, state: Path) -> None:
    from datetime import timedelta

    monitoring = MonitoringPeriod.objects.get(deployment=run)
    for n in range(3):
        at = monitoring.started_at + timedelta(minutes=n)
        Measurement.objects.create(
            period=monitoring, due_at=at, at=at, up=True, values={"error_rate": {"value": 0.1 * n}}
        )
    with zipfile.ZipFile(io.BytesIO(packed(run))) as archive:
        lines = archive.read(f"measurements/{monitoring.pk}.jsonl").splitlines()
    assert [json.loads(line)["values"]["error_rate"]["value"] for line in lines] == ["0.0", "0.1", "0.2"]


def test_it_verifies_offline_with_keys_from_elsewhere(
    run: Any, state: Path, made: Made, tmp_path: Path, browsers: Callable[[str], Any]
) -> None:
    """The signer's file, and what the page of the export showed at an earlier visit."""
    shown = browsers("auditor").get(reverse("ledger-export")).content.decode()
    archive = packed(run)
    status, said = verify(archive, tmp_path)
    assert status == 2 and said.startswith(f"CAN'T TELL: {run.release.number}") and "came from the pack itself" in said
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        (tmp_path / "statements.pub").write_text(read.read("keys/statements.pub").decode())
    assert f'<code class="r-digest">{(tmp_path / "statements.pub").read_text().strip()}</code>' in shown
    keys = ("--key", str(made.signer / "key.pub"), "--statements", str(tmp_path / "statements.pub"))
    status, said = verify(archive, tmp_path, *keys)
    assert status == 0 and said.startswith(f"HOLDS: {run.release.number}")
    assert verify(b"none", tmp_path)[0] == 1


def test_a_key_from_before_its_renewal_is_no_proof_of_a_forgery(
    run: Any, state: Path, made: Made, tmp_path: Path
) -> None:
    """Who kept the old key alone can't tell; with the later one, which the ledger's export names, it holds."""
    signer = tmp_path / "signer"
    shutil.copytree(made.signer, signer)
    database = str(connection.settings_dict["NAME"])
    with psycopg.connect(
        make_conninfo(os.environ["DATABASE_LEDGER_SIGNER_URL"], dbname=database), autocommit=True
    ) as own:
        LedgerSigner(signer).renew_key(own, "yearly")
    forge(run.release, title="after the renewal")
    sign_ledger(signer)
    archive = packed(run)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        (tmp_path / "statements.pub").write_bytes(read.read("keys/statements.pub"))
    statements = ("--statements", str(tmp_path / "statements.pub"))
    status, said = verify(archive, tmp_path, "--key", str(made.signer / "key.pub"), *statements)
    assert status == 2 and said.startswith("CAN'T TELL: no key that was given signed"), said
    assert verify(archive, tmp_path, "--key", str(signer / "key.pub"), *statements)[0] == 0


def test_every_alteration_is_found(run: Any, state: Path, tmp_path: Path) -> None:
    """Each member altered, left out, or added; and whoever signs anew with another key is found by the key."""
    archive = packed(run)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        names = read.namelist()
        public = read.read("keys/statements.pub")
    for name in names:
        status, said = verify(altered(archive, name, lambda content: content[:-1] + b"!"), tmp_path)
        assert status in (1, 2) and not said.startswith("HOLDS"), (name, said)
    out = io.BytesIO(archive)
    with zipfile.ZipFile(out, "a") as more:
        more.writestr("evidence/more.txt", "x")
    assert verify(out.getvalue(), tmp_path) == (1, "BROKEN: the files are not those of the manifest\n")
    (state / "statements" / "key").unlink()
    (tmp_path / "statements.pub").write_bytes(public)
    status, said = verify(packed(run), tmp_path, "--statements", str(tmp_path / "statements.pub"))
    assert (status, said) == (1, "BROKEN: the signature of the manifest does not verify\n")


def test_a_forged_event_leads_to_no_signed_root(run: Any, state: Path, tmp_path: Path) -> None:
    """Somebody with the application's key, and not the ledger signer's, rewrites an event and signs a new manifest."""
    import base64
    from hashlib import sha256

    import rfc8785

    archive = packed(run)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        lines = read.read("ledger/events.jsonl").splitlines()
        manifest = json.loads(read.read("manifest.json"))
    record = json.loads(lines[3])
    event = base64.b64decode(record["event"]).replace(b'"outcome":"', b'"outcome":"x')
    record |= {"event": base64.b64encode(event).decode(), "leaf": sha256(b"\0" + event).hexdigest()}
    forged = b"\n".join([*lines[:3], rfc8785.dumps(record), *lines[4:]]) + b"\n"
    manifest["files"]["ledger/events.jsonl"] = {"sha256": sha256(forged).hexdigest(), "bytes": len(forged)}
    body = rfc8785.dumps(manifest)
    envelope = Signer.opened(state / "statements").envelope(pack.MANIFEST, body)
    assert opened(envelope, pack.signer().public)[1] == body
    for name, content in (
        ("ledger/events.jsonl", forged), ("manifest.json", body), ("manifest.dsse.json", envelope),
    ):  # fmt: skip
        archive = altered(archive, name, lambda _old, content=content: content)
    status, said = verify(archive, tmp_path)
    assert status == 1 and f"the proof of number {record['number']} does not lead" in said


def test_what_is_not_signed_yet_is_said(run: Any, state: Path, tmp_path: Path) -> None:
    forge(run.release, title="after the last checkpoint")
    status, said = verify(packed(run), tmp_path)
    assert status == 2 and "2 of " in said and "signed up to number" in said and "HOLDS" not in said


def test_a_file_beside_those_of_the_manifest_is_found_wherever_it_stands(run: Any, state: Path, tmp_path: Path) -> None:
    first, keys = packed(run), ("--key", str(state / "ledger_signer" / "key.pub"))
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("index.en.html", "what some readers show")
    before = other.getvalue()[: other.getvalue().index(b"PK\x01\x02")]
    status, said = verify(before + first, tmp_path, *keys)
    assert (status, said) == (1, "BROKEN: something stands before the first file, which some readers take for one\n")
    for name in ("manifest.json", "index.en.html"):
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(first)) as old, zipfile.ZipFile(out, "w") as new:
            with warnings.catch_warnings(action="ignore"):
                new.writestr(name, "another")
                for entry in old.infolist():
                    new.writestr(entry, old.read(entry))
        status, said = verify(out.getvalue(), tmp_path, *keys)
        assert (status, said) == (1, "BROKEN: the files are not those of the manifest\n"), name
