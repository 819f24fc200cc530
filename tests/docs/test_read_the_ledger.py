"""The script of docs/how-to/read-the-ledger.md finds what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.urls import reverse

from audit.actor import acting
from audit.export import lines
from audit.ledger.link import link_pending
from audit.models import Event
from audit.operation import operation
from audit.refusals import NotPermitted
from tests.architecture.files import ROOT
from tests.releases.api.conftest import ask
from tests.releases.conftest import sample_repository, world, world_template
from tests.releases.gates.asking import COMMAND

__all__ = ["sample_repository", "world", "world_template"]
PAGE = ROOT / "docs" / "how-to" / "read-the-ledger.md"


def test_the_script_finds_every_refusal(
    world: Any, database: str, browsers: Callable[[str], Any], tmp_path: Path
) -> None:
    """By an operation, on the page of an operation, by a tick that was not offered, over the API and at the sign-in."""
    release = world.planned()
    with acting(COMMAND), pytest.raises(NotPermitted), operation("test:refuse"):
        raise NotPermitted("Not you.")
    auditor = browsers("auditor")
    auditor.post(reverse("operation", args=["release", "cancel", release.pk]), {"reason": "x"})
    auditor.post(reverse("sign-all", args=[release.pk]), {"sign": "release:sign_final_check"})
    ask("post", "/ci/deployments", {}, token="nonsense")
    auditor.logout()
    auditor.post("/account/login/", {"login": "operator", "password": "wrong-password"})
    refused = Event.objects.filter(outcome="refused")
    assert set(refused.values_list("operation", flat=True)) == {
        *("test:refuse", "release:cancel", "release:sign_pending_items", "api:call", "session:sign_in")
    }
    assert set(refused.values_list("kind", flat=True)) == {"refusal"}
    export = tmp_path / "ledger.jsonl"
    link_pending(connection)
    with psycopg.connect(database, autocommit=True) as own:
        export.write_text("".join(lines(own)), encoding="utf-8")
    (script,) = re.findall(r"python3 - ledger\.jsonl <<'END'\n(.*?)END\n", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    printed = subprocess.run(
        [sys.executable, "-", str(export)], input=script, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    numbers = [
        str(number)
        for number in refused.order_by("ledger_entry__number").values_list("ledger_entry__number", flat=True)
    ]
    assert [line.split()[0] for line in printed] == numbers
    assert len(numbers) >= 5
    assert len(printed) == len(
        browsers("auditor").get(reverse("timeline"), {"outcome": "refused"}).context["happenings"]
    )
