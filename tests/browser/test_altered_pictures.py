"""Pictures of pages after somebody altered the ledger and the evidence, in each look, under var/test/pictures/."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit import cover, standing
from audit.actor import acting
from audit.ledger.checkpoint import LedgerSigner
from audit.models import Event
from releases.models import Measurement
from tests.audit.tampered import set_event, set_row
from tests.browser.person import Person
from tests.browser.test_pictures import LOOKS, PICTURES
from tests.conftest import sign_ledger
from tests.releases.gates.asking import COMMAND


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_alterations_are_shown_on_every_page(
    look: str, seeded: dict[str, Any], person: Callable[..., Person], state_folder: Path
) -> None:
    """The banner, the event, the series and the list of verifications; nothing reaches over the screen."""
    folder = PICTURES / look
    folder.mkdir(parents=True, exist_ok=True)
    with acting(COMMAND):
        cover.cover()
    sign_ledger(LedgerSigner(state_folder / "ledger_signer"))
    with acting(COMMAND):
        passed = standing.run()
    event = (
        Event.objects.filter(operation="approval:approve", kind="operation").select_related("ledger_entry").latest("at")
    )
    sound = (
        Event.objects.filter(operation="release:submit", kind="operation").select_related("ledger_entry").latest("at")
    )
    measurement = Measurement.objects.latest("pk")
    set_event(event.ledger_entry.number, "reason = '問題なし'")
    set_row("releases_measurement", "values = '{}'", f"id = {measurement.pk}")
    with acting(COMMAND):
        found = standing.run(whole=True)
    assert passed is not None and passed.result == "passed" and found is not None and found.result == "failed"
    shown = {
        "altered-event": reverse("event", args=[event.ledger_entry.number]),
        "sound-event": reverse("event", args=[sound.ledger_entry.number]),
        "altered-series": reverse("monitoring", args=[measurement.period_id]),
        "list-verifications": reverse("admin:audit_verification_changelist"),
        "verification": reverse("admin:audit_verification_change", args=[found.pk]),
        "my-tasks-altered": reverse("admin:index"),
    }
    reader, wrong = person("auditor", **LOOKS[look]), []
    for name, address in shown.items():
        status = reader.go(address).status
        if status != 200:
            wrong.append(f"{name}: {status}")
        if over := reader.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        if 'data-unresponsive="ledger"' not in reader.page.content():
            wrong.append(f"{name}: no banner")
        reader.page.screenshot(path=folder / f"{name}.png", full_page=True)
    wrong += [f"console: {heard}" for heard in reader.complaints]
    assert not wrong, "\n".join(wrong)
