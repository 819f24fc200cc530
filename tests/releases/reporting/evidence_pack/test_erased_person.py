"""Packs of a change whose approver was erased since: the one of before verifies, and so does one of after."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from environments.operations.account.deactivate import deactivate
from tests.releases.audited import Made
from tests.releases.gates.asking import alter
from tests.releases.leaving import erased
from tests.releases.reporting.evidence_pack.test_pack import packed, state, verify

__all__ = ["state"]


def test_packs_of_before_and_after_an_erasure_verify(
    deployment: Any, state: Path, made: Made, tmp_path: Path, people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    approver = people["committee_a"]
    assert approver in [one.account for one in deployment.release.approval_requests.last().decisions.all()]
    alter(approver, telephone="+81-90-1111-2222")
    before = packed(deployment)
    with acting_as("administrator"):
        deactivate(approver.pk, reason="left")
    erased(approver, acting_as)
    after = packed(deployment)
    for archive in (before, after):
        with zipfile.ZipFile(io.BytesIO(archive)) as read:
            (tmp_path / "statements.pub").write_text(read.read("keys/statements.pub").decode())
            assert str(approver) in read.read("index.en.html").decode()
        keys = ("--key", str(made.signer / "key.pub"), "--statements", str(tmp_path / "statements.pub"))
        status, said = verify(archive, tmp_path, *keys)
        assert status == 0, said
