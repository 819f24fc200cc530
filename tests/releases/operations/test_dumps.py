"""Backups past their retention are deleted from their targets, except those that may still be needed (J5)."""

from __future__ import annotations

import fcntl
import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from releases.models import DeployedVersion, Deployment, Rollback, Step
from releases.operations.dump.delete import delete, dumps, expired
from releases.worker.poll import expired_dumps
from tests.releases.gates.asking import alter, make, walk
from tests.releases.operations.notifying import WORKER

DUMP = b"PGDMP"
SHA256 = hashlib.sha256(DUMP).hexdigest()


def backup(world: Any, deployment: Deployment, days: int) -> Step:
    """Record a deployment's backup of so many days ago: the folder on the target, and the step."""
    folder = Path(world.targets["production"].root) / "backups" / f"deployment-{deployment.pk}"
    folder.mkdir(parents=True)
    (folder / "database.dump").write_bytes(DUMP)
    (folder / "facts.json").write_text(json.dumps({"key": "1/1/a", "sha256": SHA256}))
    result = {"dump": str(folder / "database.dump"), "sha256": SHA256}
    step: Step = make(
        Step,
        deployment=deployment,
        phase="deployment",
        ordinal=90,
        step_type="backup",
        parameters={},
        label_ja="",
        label_en="",
        ended_at=now() - timedelta(days=days),
        result=result,
    )
    return walk(step, "mark_ready", "claim", "succeed")


@pytest.fixture
def old(world: Any) -> Step:
    """A backup of 100 days ago, of a deployment that succeeded; a newer one is on the same target."""
    release = world.planned()
    step = backup(world, world.verified_deployment(release, "production"), 100)
    backup(world, world.verified_deployment(release, "production"), 10)
    return step


def place(step: Step) -> Path:
    return Path(step.result["dump"]).parent


def test_a_backup_past_its_retention_is_deleted_and_recorded(world: Any, old: Step) -> None:
    assert [step.pk for step in expired(now())] == [old.pk]
    assert expired(now() - timedelta(days=11)) == [], "on its 89th day it is kept"
    newer = place(Step.objects.exclude(pk=old.pk).get(step_type="backup"))
    with acting(WORKER):
        assert delete(old.pk)
        assert not delete(old.pk), "once"
    assert not place(old).exists() and newer.exists()
    journal = (Path(world.targets["production"].root) / ".ringi" / "journal.jsonl").read_text()
    line = json.loads(journal.splitlines()[-1])
    assert (line["effect"], line["deployment"]) == ("backup:deleted", f"deployment:{old.deployment_id}")
    assert world.fresh(old).result["deleted_at"]
    event = Event.objects.get(operation="dump:delete", kind="operation")
    assert event.contents["after"]["sha256"] == SHA256 and expired(now()) == []


def test_the_newest_backup_of_a_target_stays_at_any_age(world: Any) -> None:
    step = backup(world, world.verified_deployment(world.planned(), "production"), 400)
    assert expired(now()) == [] and dumps()[0].kept_for
    with acting(WORKER):
        assert not delete(step.pk)
    assert place(step).exists()


def test_the_backup_of_the_deployed_version_stays(world: Any, old: Step) -> None:
    deployment = old.deployment
    other = Step.objects.exclude(pk=old.pk).get(step_type="backup").deployment
    alter(other, release=world.planned("1.4.0"))
    make(
        DeployedVersion,
        application=deployment.application,
        environment=deployment.environment,
        release=deployment.release,
        since=now(),
        basis="restored",
    )
    assert expired(now()) == []


def test_the_backup_of_an_active_deployment_or_rollback_stays(world: Any, old: Step) -> None:
    make(Rollback, deployment=old.deployment, cause="major_failure", raised_at=now())
    assert expired(now()) == []
    with acting(WORKER):
        assert not delete(old.pk)
    assert place(old).exists()


def test_a_dump_other_than_the_recorded_one_stays_and_is_reported(world: Any, old: Step) -> None:
    (place(old) / "facts.json").write_text(json.dumps({"key": "x", "sha256": "0" * 64}))
    with acting(WORKER):
        assert not delete(old.pk)
    assert place(old).exists()
    kept = world.fresh(old).result
    assert "is not the recorded one" in kept["deletion_failure"] and "deleted_at" not in kept
    assert Event.objects.filter(operation="dump:fail_deletion", kind="operation").count() == 1
    assert expired(now()) == [], "not asked again the same day"
    assert [step.pk for step in expired(now() + timedelta(hours=25))] == [old.pk]


def test_a_target_locked_by_a_step_is_not_touched(world: Any, old: Step) -> None:
    own = Path(world.targets["production"].root) / ".ringi"
    own.mkdir(exist_ok=True)
    with (own / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with acting(WORKER):
            assert not delete(old.pk)
    assert place(old).exists() and "locked" in world.fresh(old).result["deletion_failure"]


def test_the_scheduler_requests_the_deletion_at_night(world: Any, old: Step, settings: Any) -> None:
    import django_rq

    queue, night = django_rq.get_queue("production"), now().replace(hour=settings.RECONCILIATION_HOUR)
    expired_dumps(night + timedelta(hours=1))
    assert not [job for job in queue.jobs if job.func_name.endswith("delete_dump")]
    expired_dumps(night)
    (job,) = [job for job in queue.jobs if job.func_name.endswith("delete_dump")]
    assert job.kwargs == {"step_id": old.pk}
    queue.empty()


def test_auditors_read_the_retention_of_each_backup(world: Any, old: Step, browsers: Any) -> None:
    release = old.deployment.release
    page = browsers("auditor").get(reverse("retention"))
    assert page.status_code == 200 and browsers("developer").get(reverse("retention")).status_code == 403
    text = page.content.decode()
    assert "7 years" in text and "90 days" in text and "to be deleted" in text
    rows = {str(row["name"]): row for row in page.context["records"]}
    assert rows["releases"]["past"] == 0
    alter(release, created_at=now() - timedelta(days=8 * 366))
    row = next(
        row for row in browsers("auditor").get(reverse("retention")).context["records"] if row["name"] == "releases"
    )
    assert row["past"] == 1 and row["until"] < now()


def test_an_ended_release_shows_the_retention_of_its_records(world: Any, browsers: Any) -> None:
    from releases.operations.release.prepare import cancel

    release = world.planned()
    with world.acting_as("manager"):
        cancel(release.pk, reason="x")
    page = browsers("auditor").get(reverse("release", args=[release.pk])).content.decode()
    assert "The records of this release are kept until" in page
