"""Population and sample: no change is left out, no number is missing unseen, and anyone can draw the same sample."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.operation import operation
from releases.admin.components.formatting import when
from releases.admin.components.period import fiscal_year
from releases.models import Deployment, Release, Rollback
from releases.operations.release.prepare import next_number
from releases.reporting.evidence_pack import pack
from releases.reporting.evidence_pack.population import STATEMENT, deployments, population, sample
from tests.architecture.files import ROOT
from tests.audit.envelopes import opened
from tests.releases.audited import WORKER, Made
from tests.releases.reporting.audit_tests.asking import ask, forge, make, texts
from tests.releases.reporting.audit_tests.test_operation_tests import past_the_ledger


def this_year() -> Any:
    period = fiscal_year(now())
    return population(period.since, period.until)


def more(again: Any, count: int, event: str = "release:lock_scope") -> list[Release]:
    """Number some more changes, as locking their scope does."""
    made = []
    for n in range(count):
        with again.acting_as("manager"), operation(event) as op:
            release = Release.objects.create(
                application=again.application,
                version=f"2.{n}.{Release.objects.count()}",
                title="more",
                author=again.people["manager"],
                number=next_number(now()),
            )
            release.lock_scope()
            release.save()
            op.about(release)
        made.append(release)
    return made


def test_a_fiscal_year_begins_in_april_in_japan() -> None:
    from datetime import UTC, datetime

    last = fiscal_year(datetime(2027, 3, 31, 14, 59, 59, tzinfo=UTC))
    first = fiscal_year(datetime(2027, 3, 31, 15, tzinfo=UTC))
    assert (last.first_day, last.last_day, first.first_day) == ("2026-04-01", "2027-03-31", "2027-04-01")


def test_every_numbered_change_is_in_the_population_once(deployment: Any, again: Any) -> None:
    before = now()
    made = more(again, 2)
    whole = this_year()
    assert [c.number for c in whole.changes] == [deployment.release.number, *(r.number for r in made)] and whole.whole
    later = population(before, now())
    assert [c.number for c in later.changes] == [r.number for r in made] and later.whole
    assert population(before - timedelta(days=700), before - timedelta(days=400)).changes == []


def test_a_missing_number_is_named(deployment: Any, again: Any) -> None:
    """Also the first of a period that follows others."""
    before = now()
    first, second = more(again, 2)
    forge(first, number=None)
    assert first.number in this_year().missing
    forge(second, number=second.number[:-4] + "0009")
    assert population(before, now()).missing[0] == first.number


def test_a_deleted_change_is_named_with_its_number(deployment: Any, again: Any, database: str) -> None:
    (gone,) = more(again, 1)
    past_the_ledger(
        database,
        "SET session_replication_role = replica; ALTER TABLE releases_release DISABLE TRIGGER ALL;"
        f" DELETE FROM releases_release WHERE id = {gone.pk}",
    )
    assert this_year().not_in_register == [gone.number]


def test_a_number_unknown_to_the_ledger_is_named(deployment: Any, again: Any) -> None:
    (release,) = more(again, 1, event="test:number")
    assert this_year().unexplained == [release.number]


def test_a_change_planned_in_a_period_and_locked_after_it_is_explained(deployment: Any, again: Any) -> None:
    """It is numbered by the time of the period's end; it belongs to the next one."""
    begun = now()
    with again.acting_as("manager"), operation("release:plan") as op:
        release = Release.objects.create(
            application=again.application, version="3.0.0", title="later", author=again.people["manager"]
        )
        op.about(release)
    ended = now()
    with again.acting_as("manager"), operation("release:lock_scope") as op:
        release.number = next_number(now())
        release.lock_scope()
        release.save()
        op.about(release)
    before, after = population(begun, ended), population(ended, now())
    assert (before.changes, before.unexplained) == ([], [])
    assert [c.number for c in after.changes] == [release.number] and after.whole


def test_the_sample_can_be_reproduced_by_hand(deployment: Any, again: Any) -> None:
    more(again, 4)
    changes = this_year().changes
    drawn = sample(changes, "seed", 3)
    by_hand = sorted((sha256(f"seed\n{c.number}".encode()).hexdigest(), c.number) for c in changes)[:3]
    assert [c.number for c in drawn] == [number for _digest, number in by_hand]
    assert sample(list(reversed(changes)), "seed", 3) == drawn and len(sample(changes, "seed", 99)) == 5


def rolled_back(deployment: Any, people: dict[str, Any]) -> Any:
    """Begin a rollback, as its worker does."""
    rollback = make(Rollback, deployment=deployment, cause="manual", raised_at=now(), raised_by=people["operator"])
    with acting(WORKER), operation("rollback:start", (Rollback, rollback.pk)) as op:
        op.get(Rollback).started_at = now()
    return Rollback.objects.get(pk=rollback.pk)


def production() -> Any:
    period = fiscal_year(now())
    return deployments(period.since, period.until)


def test_production_deployments_are_their_own_population(
    deployment: Any, again: Any, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """With all fields that an auditor asks of one; releases outside production are not in it, a rollback is."""
    more(again, 1)
    lower = Deployment.objects.filter(environment__protected=False)[0]
    with acting(WORKER), operation("step:claim", (Deployment, lower.pk)) as op:
        op.get(Deployment).started_at = now()
    rollback = rolled_back(deployment, people)
    whole = production()
    assert whole.whole
    assert [(c.number, c.deployment) for c in whole.changes] == [("P-00001", deployment), ("P-00002", rollback)]
    table = b"".join(browsers("auditor").get(reverse("sampling"), {"take": "population"}).streaming_content).decode()
    head, first, second = list(csv.reader(io.StringIO(table.removeprefix("\ufeff"))))
    said = dict(zip(head, first, strict=True))
    assert (said["number"], said["change number"], said["version"]) == (
        "P-00001",
        deployment.release.number,
        deployment.release.version,
    )
    assert (said["application"], said["environment"]) == (str(deployment.application), str(deployment.environment))
    assert (said["type"], said["result"]) == ("Regular", deployment.get_state_display())
    assert said["scheduled start"] == when(deployment.scheduled_start_at) and said["scheduled end"] == when(
        deployment.scheduled_end_at
    )
    assert said["started at"] == when(deployment.started_at) and said["steps ended at"]
    assert said["approved by"] == "Committee A; Committee B" and said["scheduled by"] == str(deployment.scheduled_by)
    assert said["executed by"] == "worker-1"
    again_ = dict(zip(head, second, strict=True))
    assert (again_["type"], again_["change number"], again_["scheduled by"]) == (
        "Rollback",
        deployment.release.number,
        "Operator",
    )


def test_a_deleted_or_unrecorded_production_deployment_is_named(
    deployment: Any, people: dict[str, Any], database: str
) -> None:
    gone = rolled_back(deployment, people)
    past_the_ledger(
        database,
        "SET session_replication_role = replica; ALTER TABLE releases_rollback DISABLE TRIGGER ALL;"
        f" DELETE FROM releases_rollback WHERE id = {gone.pk}",
    )
    assert (
        production().not_in_register == [f"releases.Rollback:{gone.pk}"]
        and [c.number for c in production().changes][-1] == "P-00002"
    )
    first = Deployment.objects.exclude(pk=deployment.pk).order_by("pk")[0]
    past_the_ledger(
        database,
        "SET session_replication_role = replica; ALTER TABLE releases_deployment DISABLE TRIGGER ALL;"
        f" UPDATE releases_deployment SET started_at = now(), environment_id = {deployment.environment_id} "
        f"WHERE id = {first.pk}",
    )
    assert production().unexplained == [f"releases.Deployment:{first.pk}"] and not production().whole


def test_a_deployment_stays_in_the_population_after_its_environment_loses_protection(deployment: Any) -> None:
    """And in the saved tests: removing the protection by hand does not empty the signed population."""
    asked = (
        "approval-after-start",
        "segregation-of-duties",
        "different-content",
        "outside-change-window",
        "rule-changed-then-used",
        "approve-and-start",
    )
    before = {key: ask(key).examined for key in asked}
    forge(deployment.environment, protected=False)
    assert [c.number for c in production().changes] == ["P-00001"] and production().whole
    assert {key: ask(key).examined for key in asked} == before and all(before.values())
    forge(deployment, approval_request=None)
    assert len(texts(ask("steps-without-change"))) == deployment.steps.count()


def test_a_start_with_another_time_in_the_register_is_named(deployment: Any) -> None:
    """In the period in which it began, and in the one to which it was moved."""
    forge(deployment, started_at=deployment.started_at - timedelta(days=800))
    assert production().unexplained == [f"releases.Deployment:{deployment.pk}"] and not production().whole
    earlier = deployments(deployment.started_at - timedelta(days=801), deployment.started_at - timedelta(days=799))
    assert earlier.unexplained == [f"releases.Deployment:{deployment.pk}"]


def test_a_sample_of_production_deployments_includes_their_evidence(
    deployment: Any, people: dict[str, Any], browsers: Callable[[str], Any], settings: Any, tmp_path: Path
) -> None:
    settings.STATE_DIR = tmp_path
    rolled_back(deployment, people)
    client = browsers("auditor")
    html = client.get(reverse("sampling")).content.decode()
    assert "P-00001" in html and "P-00002" in html and "no gap" in html
    with zipfile.ZipFile(io.BytesIO(b"".join(client.get(reverse("evidence-packs")).streaming_content))) as archive:
        drawn = json.loads(archive.read("sample.json"))
        _kind, body = opened(archive.read("population.dsse.json"), pack.signer().public)
    assert (drawn["population"], sorted(drawn["numbers"])) == ("deployments", ["P-00001", "P-00002"])
    assert list(drawn["packs"]) == [deployment.release.number]
    said = json.loads(body)
    assert (said["population"], said["count"], said["first"], said["last"]) == ("deployments", 2, "P-00001", "P-00002")


def test_the_count_is_signed(
    deployment: Any, made: Made, browsers: Callable[[str], Any], settings: Any, tmp_path: Path
) -> None:
    settings.STATE_DIR = tmp_path
    client = browsers("auditor")
    envelope = client.get(reverse("sampling"), {"of": "changes", "take": "statement"}).content
    kind, body = opened(envelope, pack.signer().public)
    said = json.loads(body)
    assert kind == STATEMENT and (said["count"], said["first"]) == (1, deployment.release.number)
    assert said["digest"] == sha256(f"{deployment.release.number}\n".encode()).hexdigest() and said["checkpoint"]
    assert Event.objects.get(operation="audit:export_statement").contents["after"]["digest"] == said["digest"]
    table = b"".join(
        client.get(reverse("sampling"), {"of": "changes", "take": "population"}).streaming_content
    ).decode()
    assert table.count("\r\n") == 2 and deployment.release.number in table
    # A stranger verifies it by the documentation alone.
    page = (ROOT / "docs" / "reference" / "evidence-pack.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"python3 - population\.dsse\.json [^\n]* <<'END'\n(.*?)END\n", page, re.DOTALL)
    shutil.copy(ROOT / "audit" / "offline" / "ringi_verify.py", tmp_path)
    public = base64.b64encode(pack.signer().public).decode()
    files = {"p.json": envelope.decode(), "s.pub": public, "r.pub": (made.signer / "key.pub").read_text()}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    call = [sys.executable, "-", *files]
    done = subprocess.run(call, input=script, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines()[0] == f"changes 1 {said['first']} {said['last']} {said['digest']}", done.stderr
    (tmp_path / "s.pub").write_text(base64.b64encode(b"x" * 32).decode())
    done = subprocess.run(call, input=script, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and "BROKEN" in done.stderr


def test_the_sample_is_one_archive(
    deployment: Any, browsers: Callable[[str], Any], settings: Any, tmp_path: Path
) -> None:
    settings.STATE_DIR = tmp_path
    client = browsers("auditor")
    html = client.get(reverse("sampling"), {"of": "changes"}).content.decode()
    assert deployment.release.number in html and "no gap" in html
    answer = client.get(reverse("evidence-packs"), {"of": "changes", "seed": "s", "size": "25"})
    raw = b"".join(answer.streaming_content)
    assert int(answer["Content-Length"]) == len(raw)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        drawn = json.loads(archive.read("sample.json"))
        inner = archive.read(f"{deployment.release.number}.zip")
    assert drawn["numbers"] == [deployment.release.number] and drawn["seed"] == "s"
    assert drawn["packs"][deployment.release.number] == sha256(inner).hexdigest()
    own = b"".join(client.get(reverse("evidence-pack", args=[deployment.release.number])).streaming_content)
    assert own == inner
    event = Event.objects.get(operation="audit:export_sample").contents
    assert event["after"]["digest"] == sha256(raw).hexdigest()


def test_only_auditors_export_anything(deployment: Any, browsers: Callable[[str], Any]) -> None:
    before = Event.objects.count()
    for name in ("manager", "administrator", "committee_a"):
        client = browsers(name)
        for address in (
            reverse("sampling"),
            reverse("evidence-packs"),
            reverse("evidence-pack", args=[deployment.release.number]),
            reverse("ledger-export") + "?take=1",
            reverse("audit-tests"),
        ):
            assert client.get(address).status_code == 403, (name, address)
    assert Event.objects.count() == before
    assert browsers("auditor").get(reverse("evidence-pack", args=["FY1999-0001"])).status_code == 404
