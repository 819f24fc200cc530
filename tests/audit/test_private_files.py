"""The service can read the files that a command leaves beside the database, whichever account ran it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from audit.dsse import Signer
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.note import append_note
from environments import key_ring


def made(state: Path) -> list[Path]:
    """Make every type of file that a command may be the first to make; return them and their folders."""
    key_ring.read()
    key_ring.add()
    Signer.opened(state / "statements")
    LedgerSigner(state / "ledger_signer")
    append_note(state / "ledger_signer" / "checkpoints.txt", "note\n\n— ringi.example/ledger AAAA\n")
    return sorted(state.rglob("*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for another account")
def test_what_root_makes_belongs_to_the_account_of_the_folder(tmp_path: Path, settings: Any) -> None:
    nobody = pwd.getpwnam("nobody")
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir(mode=0o700)
    os.chown(settings.STATE_DIR, nobody.pw_uid, nobody.pw_gid)
    found = made(settings.STATE_DIR)
    assert {"configuration.keys", "configuration.lock", "key", "key.pub", "checkpoints.txt"} <= {
        one.name for one in found
    }
    assert {(one.stat().st_uid, one.stat().st_gid) for one in found} == {(nobody.pw_uid, nobody.pw_gid)}
    assert {
        one.stat().st_mode & 0o077
        for one in found
        if one.name in ("secrets", "ledger_signer", "key", "configuration.keys")
    } == {0}
