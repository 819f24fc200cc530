"""Verification of the ledger: what it needs from outside the database, and where it goes on."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from audit import verification
from audit.ledger import time_stamps
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.delivery import write_access
from audit.ledger.link import link_pending
from audit.ledger.note import Checkpoint, PublicKey, sign
from audit.ledger.stamping import Stamping
from audit.models import Event, Verification
from tests.conftest import _named, ledger_signer_connection, sign_ledger
from tests.time_stamping import Authority


@pytest.fixture
def signed(database: str, tmp_path: Path, settings: Any) -> LedgerSigner:
    """A ledger that was signed in another folder than the verifier's; its key is in a file outside both."""
    signer = LedgerSigner(tmp_path / "signer")
    _happened()
    sign_ledger(signer)
    (tmp_path / "ledger.pub").write_text(f"{signer.public}\n")
    settings.LEDGER_PUBLIC_KEY = str(tmp_path / "ledger.pub")
    return signer


def _happened(events: int = 3) -> None:
    with connection.cursor() as cursor:
        for _ in range(events):
            cursor.execute("SELECT set_config('ringi.context', '{\"actor\": \"worker:w\"}', false)")
            cursor.execute("SELECT ringi_append('operation', 'toy:change', '', NULL, '{}', '', 'done')")


def _verified(**options: Any) -> verification.Result:
    connection.ensure_connection()
    return verification.verified(connection.connection, **options)


def test_it_holds_with_the_key_in_the_file_that_the_setting_names(signed: LedgerSigner) -> None:
    assert verification.public_keys() == (signed.public,)
    assert (_verified().status, _verified().not_captured) == (0, [])


def test_without_anything_from_outside_the_database_it_does_not_hold(signed: LedgerSigner, settings: Any) -> None:
    settings.LEDGER_PUBLIC_KEY = ""
    result = _verified()
    assert result.status == 2 and "no public key was given from outside the database" in result.report.unknown


def test_another_key_in_the_file_finds_that_the_signer_is_another(
    signed: LedgerSigner, tmp_path: Path, settings: Any
) -> None:
    (tmp_path / "ledger.pub").write_text(str(PublicKey(signed.public.name, bytes(32))))
    assert _verified().status == 1


def test_it_goes_on_behind_what_it_verified_last(signed: LedgerSigner) -> None:
    assert verification.remembered() is None
    verification.remember(_verified())
    kept = verification.remembered()
    assert kept is not None and kept.frontier.size == signed.frontier.size and kept.chain == signed.chain
    assert (kept.note, kept.keys) == (signed.note, (str(signed.public),))
    idle = _verified(begun=kept)
    assert (idle.status, idle.report.events, idle.report.signed) == (0, 0, kept.frontier.size)
    _happened()
    sign_ledger(signed)
    _happened(1)
    result = _verified(begun=kept)
    assert (result.status, result.report.events, result.report.pending) == (0, 3, 1)
    link_pending(connection)
    result = _verified(begun=kept)
    assert (result.status, result.report.first, result.report.events) == (0, kept.frontier.size + 1, 4)
    assert result.report.pending == 0
    assert (result.report.signed, result.report.root != "") == (kept.frontier.size + 3, True)
    verification.remember(result)
    later = verification.remembered()
    assert later is not None and later.note == signed.note and later.keys == kept.keys


def test_the_last_verification_finds_an_exchanged_past(signed: LedgerSigner, database: str) -> None:
    """Each event behind the first is gone, and signed again by the same key: only this host's memory shows it."""
    result = _verified()
    verification.remember(result)
    kept = verification.remembered()
    assert kept is not None
    exchanged = verification.Memory(kept.frontier, bytes(32), kept.note, kept.keys)
    found = _verified(begun=exchanged).report.finding
    assert found is not None and found.number == kept.frontier.size
    other = Checkpoint(signed.origin, kept.frontier.size, bytes(32))
    verification.Memory(kept.frontier, kept.chain, sign(other, signed.private)).write(verification._memory())
    assert _verified().status == 1


def test_a_table_in_no_list_is_named_by_the_scheduled_verification(signed: LedgerSigner) -> None:
    name = str(connection.settings_dict["NAME"])
    with psycopg.connect(_named(os.environ["DATABASE_SERVER_URL"], name), autocommit=True) as root:
        root.execute("CREATE TABLE releases_beside (id int)")
    said = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("audit_verify", "--scheduled", stdout=said)
    assert ended.value.code == 0 and "tables neither audited nor exempt: releases_beside" in said.getvalue()
    row = Verification.objects.get()
    assert (row.result, row.digest) == ("passed", "") and "releases_beside" in row.words


def test_time_stamps_are_verified_and_what_they_show_is_a_finding_until_two_people_accept_it(
    signed: LedgerSigner, tmp_path: Path, settings: Any
) -> None:
    authority = Authority(tmp_path / "authority")
    settings.TIME_STAMP_CA = str(authority.ca)
    known = time_stamps.authority()
    assert known is not None
    with ledger_signer_connection() as own:
        assert list(Stamping(signed, authority.url, known).carrying(own)) == []
        sign_ledger(signed)
        assert _verified().status == 0
        before = _verified().report.memory
        (stamp,) = (event.contents for event in Event.objects.filter(operation="audit:time_stamp"))
        write_access(own, "audit:time_stamp", "", stamp["after"] | {"size": 4}, "done")
    sign_ledger(signed)
    last = signed.frontier.size
    for begun in (None, before):
        found = _verified(begun=begun)
        assert found.status == 1 and found.report.finding is not None and found.report.finding.number == last
        accepted = _verified(begun=begun, accepted=[found.report.finding])
        assert (accepted.status, accepted.report.accepted) == (0, [found.report.finding])
    settings.TIME_STAMP_CA = str(tmp_path / "none.pem")
    assert _verified().status == 2
    settings.TIME_STAMP_CA = ""
    assert _verified().status == 0
    authority.close()
