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
    """Number some more changes, as fixing their content does."""
    made = []
    for n in range(count):
        with again.acting_as("manager"), operation(event) as op:
            release = Release.objects.create(
                application=again.application, version=f"2.{n}.{Release.objects.count()}", title="more",
                author=again.people["manager"], number=next_number(now()),
            )  # fmt: skip
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


def test_every_numbered_change_is_in_it_once(run: Any, again: Any) -> None:
    before = now()
    made = more(again, 2)
    whole = this_year()
    assert [c.number for c in whole.changes] == [run.release.number, *(r.number for r in made)] and whole.whole
    later = population(before, now())
    assert [c.number for c in later.changes] == [r.number for r in made] and later.whole
    assert population(before - timedelta(days=700), before - timedelta(days=400)).changes == []


def test_a_missing_number_is_named(run: Any, again: Any) -> None:
    """Also the first of a period that follows others."""
    before = now()
    first, second = more(again, 2)
    forge(first, number=None)
    assert first.number in this_year().missing
    forge(second, number=second.number[:-4] + "0009")
    assert population(before, now()).missing[0] == first.number


def test_a_change_whose_row_is_gone_is_named_with_its_number(run: Any, again: Any, database: str) -> None:
    (gone,) = more(again, 1)
    past_the_ledger(
        database,
        "SET session_replication_role = replica; ALTER TABLE releases_release DISABLE TRIGGER ALL;"
        f" DELETE FROM releases_release WHERE id = {gone.pk}",
    )
    assert this_year().not_in_register == [gone.number]


def test_a_number_that_the_ledger_does_not_know_is_named(run: Any, again: Any) -> None:
    (release,) = more(again, 1, event="test:number")
    assert this_year().unexplained == [release.number]


def test_a_change_planned_in_a_period_and_fixed_after_it_is_explained(run: Any, again: Any) -> None:
    """It is numbered by the time the period is asked about; it belongs to the next one."""
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


def test_the_sample_can_be_drawn_again_by_hand(run: Any, again: Any) -> None:
    more(again, 4)
    changes = this_year().changes
    drawn = sample(changes, "seed", 3)
    by_hand = sorted((sha256(f"seed\n{c.number}".encode()).hexdigest(), c.number) for c in changes)[:3]
    assert [c.number for c in drawn] == [number for _digest, number in by_hand]
    assert sample(list(reversed(changes)), "seed", 3) == drawn and len(sample(changes, "seed", 99)) == 5


def rolled_back(run: Any, people: dict[str, Any]) -> Any:
    """Begin a rollback, as its worker does."""
    rollback = make(Rollback, deployment=run, cause="manual", raised_at=now(), raised_by=people["operator"])
    with acting(WORKER), operation("rollback:start", (Rollback, rollback.pk)) as op:
        op.get(Rollback).started_at = now()
    return Rollback.objects.get(pk=rollback.pk)


def production() -> Any:
    period = fiscal_year(now())
    return deployments(period.since, period.until)


def test_production_deployments_are_a_population_of_their_own(
    run: Any, again: Any, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """With all that an auditor asks of one; what never went to production is not in it, a rollback is."""
    more(again, 1)
    lower = Deployment.objects.filter(environment__protected=False)[0]
    with acting(WORKER), operation("step:claim", (Deployment, lower.pk)) as op:
        op.get(Deployment).started_at = now()
    rollback = rolled_back(run, people)
    whole = production()
    assert whole.whole
    assert [(c.number, c.deployment) for c in whole.changes] == [("P-00001", run), ("P-00002", rollback)]
    table = b"".join(browsers("auditor").get(reverse("sampling"), {"take": "population"}).streaming_content).decode()
    head, first, second = list(csv.reader(io.StringIO(table.removeprefix("\ufeff"))))
    said = dict(zip(head, first, strict=True))
    assert (said["number"], said["change number"], said["version"]) == (
        "P-00001",
        run.release.number,
        run.release.version,
    )
    assert (said["application"], said["environment"]) == (str(run.application), str(run.environment))
    assert (said["type"], said["result"]) == ("Regular", run.get_state_display())
    assert said["scheduled start"] == when(run.scheduled_start_at) and said["scheduled end"] == when(
        run.scheduled_end_at
    )
    assert said["started at"] == when(run.started_at) and said["steps ended at"]
    assert said["approved by"] == "Committee A; Committee B" and said["scheduled by"] == str(run.scheduled_by)
    assert said["executed by"] == "worker-1"
    again_ = dict(zip(head, second, strict=True))
    assert (again_["type"], again_["change number"], again_["scheduled by"]) == (
        "Rollback",
        run.release.number,
        "Operator",
    )


def test_a_production_deployment_whose_row_is_gone_or_that_the_ledger_does_not_know_is_named(
    run: Any, people: dict[str, Any], database: str
) -> None:
    gone = rolled_back(run, people)
    past_the_ledger(
        database,
        "SET session_replication_role = replica; ALTER TABLE releases_rollback DISABLE TRIGGER ALL;"
        f" DELETE FROM releases_rollback WHERE id = {gone.pk}",
    )
    assert (
        production().not_in_register == [f"releases.Rollback:{gone.pk}"]
        and [c.number for c in production().changes][-1] == "P-00002"
    )
    first = Deployment.objects.exclude(pk=run.pk).order_by("pk")[0]
    past_the_ledger(
        database,
        "SET session_replication_role = replica; ALTER TABLE releases_deployment DISABLE TRIGGER ALL;"
        f" UPDATE releases_deployment SET started_at = now(), environment_id = {run.environment_id} WHERE id = {first.pk}",
    )
    assert production().unexplained == [f"releases.Deployment:{first.pk}"] and not production().whole


def test_a_deployment_stays_in_the_population_when_its_environment_is_protected_no_more(run: Any) -> None:
    """And in the saved tests: whoever takes the protection away by hand does not empty what is signed."""
    asked = (
        "approval-after-start",
        "segregation-of-duties",
        "different-content",
        "outside-change-window",
        "rule-changed-then-used",
        "approve-and-start",
    )
    before = {key: ask(key).examined for key in asked}
    forge(run.environment, protected=False)
    assert [c.number for c in production().changes] == ["P-00001"] and production().whole
    assert {key: ask(key).examined for key in asked} == before and all(before.values())
    forge(run, approval_request=None)
    assert len(texts(ask("steps-without-change"))) == run.steps.count()


def test_a_start_that_the_register_has_at_another_time_is_named(run: Any) -> None:
    """In the period in which it began, and in the one to which it was moved."""
    forge(run, started_at=run.started_at - timedelta(days=800))
    assert production().unexplained == [f"releases.Deployment:{run.pk}"] and not production().whole
    earlier = deployments(run.started_at - timedelta(days=801), run.started_at - timedelta(days=799))
    assert earlier.unexplained == [f"releases.Deployment:{run.pk}"]


def test_a_sample_of_production_deployments_brings_the_evidence_of_their_changes(
    run: Any, people: dict[str, Any], browsers: Callable[[str], Any], settings: Any, tmp_path: Path
) -> None:
    settings.STATE_DIR = tmp_path
    rolled_back(run, people)
    client = browsers("auditor")
    html = client.get(reverse("sampling")).content.decode()
    assert "P-00001" in html and "P-00002" in html and "no gap" in html
    with zipfile.ZipFile(io.BytesIO(b"".join(client.get(reverse("evidence-packs")).streaming_content))) as archive:
        drawn = json.loads(archive.read("sample.json"))
        _kind, body = opened(archive.read("population.dsse.json"), pack.signer().public)
    assert (drawn["population"], sorted(drawn["numbers"])) == ("deployments", ["P-00001", "P-00002"])
    assert list(drawn["packs"]) == [run.release.number]
    said = json.loads(body)
    assert (said["population"], said["count"], said["first"], said["last"]) == ("deployments", 2, "P-00001", "P-00002")


def test_the_count_is_signed(
    run: Any, made: Made, browsers: Callable[[str], Any], settings: Any, tmp_path: Path
) -> None:
    settings.STATE_DIR = tmp_path
    client = browsers("auditor")
    envelope = client.get(reverse("sampling"), {"of": "changes", "take": "statement"}).content
    kind, body = opened(envelope, pack.signer().public)
    said = json.loads(body)
    assert kind == STATEMENT and (said["count"], said["first"]) == (1, run.release.number)
    assert said["digest"] == sha256(f"{run.release.number}\n".encode()).hexdigest() and said["checkpoint"]
    assert Event.objects.get(operation="audit:export_statement").contents["after"]["digest"] == said["digest"]
    table = b"".join(
        client.get(reverse("sampling"), {"of": "changes", "take": "population"}).streaming_content
    ).decode()
    assert table.count("\r\n") == 2 and run.release.number in table
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


def test_the_sample_is_one_archive(run: Any, browsers: Callable[[str], Any], settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    client = browsers("auditor")
    html = client.get(reverse("sampling"), {"of": "changes"}).content.decode()
    assert run.release.number in html and "no gap" in html
    answer = client.get(reverse("evidence-packs"), {"of": "changes", "seed": "s", "size": "25"})
    raw = b"".join(answer.streaming_content)
    assert int(answer["Content-Length"]) == len(raw)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        drawn = json.loads(archive.read("sample.json"))
        inner = archive.read(f"{run.release.number}.zip")
    assert drawn["numbers"] == [run.release.number] and drawn["seed"] == "s"
    assert drawn["packs"][run.release.number] == sha256(inner).hexdigest()
    own = b"".join(client.get(reverse("evidence-pack", args=[run.release.number])).streaming_content)
    assert own == inner
    event = Event.objects.get(operation="audit:export_sample").contents
    assert event["after"]["digest"] == sha256(raw).hexdigest()


def test_only_auditors_take_anything_along(run: Any, browsers: Callable[[str], Any]) -> None:
    before = Event.objects.count()
    for name in ("manager", "administrator", "committee_a"):
        client = browsers(name)
        for address in (
            reverse("sampling"), reverse("evidence-packs"), reverse("evidence-pack", args=[run.release.number]),
            reverse("ledger-export") + "?take=1", reverse("audit-tests"),
        ):  # fmt: skip
            assert client.get(address).status_code == 403, (name, address)
    assert Event.objects.count() == before
    assert browsers("auditor").get(reverse("evidence-pack", args=["FY1999-0001"])).status_code == 404
