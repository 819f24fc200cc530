"""What the archive of a closed year says beside its events: the offline program asks each claim, not its form alone."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest

from audit.archive import Streamed
from audit.dsse import Signer
from releases.operations.year import close
from releases.reporting.closed_year.archive import COUNT
from releases.reporting.evidence_pack.pack import MANIFEST
from releases.reporting.evidence_pack.population import STATEMENT
from tests.releases.closed_years import Ended, again, database, deployment, ended, made
from tests.releases.reporting.closed_year.test_archive import archive_of, keys, looked, rewritten

__all__ = ["again", "database", "deployment", "ended", "keys", "looked", "made"]
Looked = Callable[..., tuple[int, str]]


def with_members(archive: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """Write an archive again in its one form, with other members."""
    made = Streamed()
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        members = {name: read.read(name) for name in read.namelist()}
    change(members)
    return b"".join(piece for item in members.items() for piece in made.adding(*item)) + made.ending()


def signed_again(ended: Ended, archive: bytes, change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> bytes:
    """Write an archive again with other members and another manifest, as the holder of the application's key can."""

    def signed(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["manifest.json"])
        change(members, manifest)
        members["manifest.json"] = json.dumps(manifest).encode()
        members["manifest.dsse.json"] = Signer.opened(ended.state / "statements").envelope(
            MANIFEST, members["manifest.json"]
        )

    return with_members(archive, signed)


def test_nothing_stands_in_the_envelope_beside_what_was_signed(
    ended: Ended, deployment: Any, keys: tuple[Any, ...], looked: Looked
) -> None:
    archive = archive_of(ended.closed())
    assert looked(with_members(archive, lambda members: None), *keys)[0] == 0
    for more in ({"note": "examined without a finding"}, {"signatures": None}):

        def written(members: dict[str, bytes], more: dict[str, Any] = more) -> None:
            envelope = json.loads(members["manifest.dsse.json"])
            if "signatures" in more:
                envelope["signatures"][0]["keyid"] = "0" * 64
            else:
                envelope |= more
            members["manifest.dsse.json"] = json.dumps(envelope, separators=(",", ":")).encode()

        status, said = looked(with_members(archive, written), *keys)
        assert (status, said) == (1, "BROKEN: the envelope of the manifest has more in it than what was signed\n")


def test_the_pack_of_each_change_in_the_list_is_there(
    ended: Ended, deployment: Any, keys: tuple[Any, ...], looked: Looked
) -> None:
    """The holder of the application's key leaves one out."""
    archive = archive_of(ended.closed())

    def without(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        name = next(name for name in members if name.startswith("evidence-packs/"))
        del members[name], manifest["files"][name]

    status, said = looked(signed_again(ended, archive, without), *keys)
    assert status == 1 and f"evidence-packs/{deployment.release.number}.zip: the packs are not those" in said, said


def test_the_faults_that_the_signed_count_states_are_shown(
    ended: Ended, deployment: Any, keys: tuple[Any, ...], looked: Looked
) -> None:
    def stated(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        said = json.loads(base64.b64decode(json.loads(members[COUNT])["payload"]))
        said |= {"missing": ["7", "8"], "not_in_register": ["RM-1"], "unexplained": ["9"]}
        members[COUNT] = Signer.opened(ended.state / "statements").envelope(STATEMENT, json.dumps(said).encode())
        manifest["files"][COUNT] = {"sha256": sha256(members[COUNT]).hexdigest(), "bytes": len(members[COUNT])}

    status, said = looked(signed_again(ended, archive_of(ended.closed()), stated), *keys)
    assert status == 0 and said.endswith("\nMISSING: 7, 8\nNOT IN REGISTER: RM-1\nUNEXPLAINED: 9\n"), said


@pytest.mark.parametrize("name", ["chain", "first"])
def test_the_events_are_those_that_two_people_signed(
    name: str, ended: Ended, keys: tuple[Any, ...], looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events were others when they signed."""
    contents, found = close.contents, dict[str, Any]()
    other = {"chain": "00" * 32, "first": 2}

    def another(year: Any) -> dict[str, Any]:
        found.update(contents(year))
        return found | {name: other[name]}

    monkeypatch.setattr(close, "contents", another)

    def truly(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        manifest["ledger"]["chain"] = found["chain"]

    archive = signed_again(ended, archive_of(ended.closed()), truly)
    status, said = looked(archive, *keys)
    assert (status, said) == (1, "BROKEN: the events are not those whose chain value two people signed\n"), said


def test_two_persons_closed_the_year(ended: Ended, keys: tuple[Any, ...], looked: Looked) -> None:
    """The holder of the application's password writes both events in the name of one person."""
    row = ended.request()
    with ended.acting_as("auditor"):
        with pytest.MonkeyPatch.context() as patch:
            second = SimpleNamespace(identities=(), person_key="another")
            patch.setattr(close.access, "require", lambda permission: second)
            row = close.confirm_closing(row.pk)
    ended.sign()
    assert looked(archive_of(row), *keys) == (1, "BROKEN: one person alone closed the year\n")


def test_closing_json_names_the_people_of_the_ledger(ended: Ended, keys: tuple[Any, ...], looked: Looked) -> None:
    def another(name: str, content: bytes) -> bytes:
        found = json.loads(content) if name == "closing.json" else {}
        return json.dumps({**found, "confirmed_by": "person:0:x"}).encode() if found else content

    status, said = looked(rewritten(ended, archive_of(ended.closed()), another), *keys)
    assert (status, said) == (1, "BROKEN: closing.json names other people than the ledger\n")
