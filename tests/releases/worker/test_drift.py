"""Changes on a target outside Ringi are found, notified and kept until it is equal again; unknown never passes."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.models import Event, Outbox
from audit.refusals import NotPermitted
from releases.models import DeployedVersion, Drift, Notification, TargetMeasurement
from releases.operations.deployed_version.register import register
from releases.operations.notification.create import process_outbox
from releases.operations.target import measure
from releases.worker import poll
from tests.releases.gates.asking import alter
from tests.releases.operations.test_deployed_version import configured, installed, registration_requested

from .conftest import WORKER, jobs

__all__ = ["installed"]


@pytest.fixture
def active(installed: Any) -> Any:
    """Version 1.2.0 runs in production and is registered there by two people."""
    pointer = registration_requested(installed)
    with installed.acting_as("second_operator"):
        register(pointer.pk)
    return installed


def measured(world: Any) -> TargetMeasurement:
    with acting(WORKER):
        return measure.take(world.targets["production"].pk)


def edit(world: Any, text: str = "edited by hand\n") -> Path:
    path = Path(world.targets["production"].root, "current", "README.md")
    path.write_text(text)
    return path


def test_an_unchanged_target_passes_and_leaves_no_event(active: Any) -> None:
    before = Event.objects.count()
    row = measured(active)
    assert (row.result, row.reason) == ("passed", "")
    assert row.next_at is not None and row.at is not None and row.next_at - row.at == timedelta(days=1)
    assert Event.objects.count() == before and not Drift.objects.exists()


def test_edited_code_is_found_notified_and_ends_when_it_is_equal_again(active: Any) -> None:
    path = Path(active.targets["production"].root, "current", "README.md")
    kept = path.read_text()
    edit(active)
    assert measured(active).result == "drift"
    row = Drift.objects.get()
    assert (row.parts, row.ended_at) == (["code"], None)
    assert row.expected["code"] == active.built.trees["v1.2.0"] != row.found["code"]
    event = Event.objects.get(operation="drift:detect", kind="operation")
    assert event.object == f"releases.Drift:{row.pk}"
    assert Outbox.objects.filter(event="drift:detect").count() == 1
    measured(active)
    assert Event.objects.filter(operation="drift:detect", kind="operation").count() == 1, (
        "a known drift is not notified again"
    )
    edit(active, "edited twice\n")
    measured(active)
    assert [drift.ended_at is None for drift in Drift.objects.order_by("pk")] == [False, True]
    path.write_text(kept)
    assert measured(active).result == "passed"
    assert not Drift.objects.filter(ended_at=None).exists()
    assert Event.objects.filter(operation="drift:end", kind="operation").count() == 2


def test_an_edited_configuration_file_is_found(active: Any) -> None:
    configured(active).write_text('PORT="9999"\n')
    assert measured(active).result == "drift"
    assert Drift.objects.get().parts == ["configuration"]


def test_another_schema_is_found(active: Any) -> None:
    pointer = DeployedVersion.objects.get()
    alter(pointer, schema="0" * 64)
    assert measured(active).result == "drift"
    assert Drift.objects.get().parts == ["schema"]


def test_an_unmeasurable_target_is_unknown_and_never_equal(active: Any, tmp_path: Path) -> None:
    target = active.targets["production"]
    edit(active)
    measured(active)
    alter(target, options={"configuration": {"format": "command", "write": ["/bin/false"], "digest": ["/bin/false"]}})
    row = measured(active)
    assert (row.result, row.reason) == ("unknown", "not_reached") and row.detail
    assert Drift.objects.filter(ended_at=None).exists(), "an unknown result ends no drift"
    assert row.next_at is not None and row.next_at < now() + timedelta(hours=1)
    alter(DeployedVersion.objects.get(), unknown=True)
    assert measured(active).reason == "unknown_content"
    alter(DeployedVersion.objects.get(), basis=DeployedVersion.REQUESTED)
    assert measured(active).reason == "nothing_active"


def test_a_target_with_a_running_deployment_is_left_alone(active: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "occupied", lambda target: True)
    monkeypatch.setattr(measure, "measure", lambda *given, **options: pytest.fail("it was measured"))
    row = measured(active)
    assert (row.result, row.reason) == ("unknown", "deployment_running")


def test_a_measurement_during_a_version_change_is_discarded(active: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(active)
    real = measure.measure

    def slow(*given: Any, **options: Any) -> Any:
        found = real(*given, **options)
        alter(DeployedVersion.objects.get(), since=now())
        return found

    monkeypatch.setattr(measure, "measure", slow)
    row = measured(active)
    assert (row.result, row.reason) == ("unknown", "changed_meanwhile")
    assert not Drift.objects.exists()


def test_each_target_with_an_active_version_is_measured_every_day_and_after_a_change(active: Any) -> None:
    target = active.targets["production"]
    with acting(WORKER):
        poll.due_measurements(now())
        poll.due_measurements(now())
    wanted = ("releases.jobs.measure_target", {"target_id": target.pk})
    assert jobs("checks") == [wanted], "only the one where something is active, and once"
    row = measured(active)
    assert row.next_at is not None
    assert measure.due(row.next_at - timedelta(minutes=30)) == []
    assert measure.due(row.next_at + timedelta(seconds=1)) == [target.pk]
    alter(DeployedVersion.objects.get(), since=now())
    assert measure.due(now()) == [target.pk]


def test_people_who_configure_targets_can_measure_one_at_once(active: Any) -> None:
    target = active.targets["production"]
    for name in ("auditor", "developer", "outsider"):
        with active.acting_as(name), pytest.raises(NotPermitted):
            measure.ask(target.pk)
    with active.acting_as("operator"):
        measure.ask(target.pk)
    assert jobs("checks") == [("releases.jobs.measure_target", {"target_id": target.pk})]
    assert Event.objects.filter(operation="target:measure", kind="operation").exists()


def test_a_drift_is_notified_to_operations_with_a_link_to_the_target(active: Any) -> None:
    edit(active)
    measured(active)
    with acting(WORKER):
        while process_outbox():
            pass
    notification = Notification.objects.get(event="drift:detect")
    assert notification.path == f"/admin/environments/deploymenttarget/{active.targets['production'].pk}/change/#drift"
    assert "Production" in notification.texts["en"]["body"] and "code" in notification.texts["en"]["body"]
    assert "本番" in notification.texts["ja"]["body"]


def test_the_overview_and_the_target_page_show_result_and_time(active: Any, browsers: Any) -> None:
    page = f"/admin/environments/deploymenttarget/{active.targets['production'].pk}/change/"
    operator = browsers("operator")
    assert "has not been measured yet" in operator.get(page).text
    measured(active)
    assert re.search(r'r-chip good"\s*>as deployed', operator.get(page).text)
    edit(active)
    measured(active)
    shown = operator.get(page).text
    assert re.search(r'r-chip bad"\s*>drift', shown) and "code" in shown
    assert "drift: code" in operator.get("/admin/").text
