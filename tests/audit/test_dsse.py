"""Signed statements and archives: the same input gives the same bytes, and another key none."""

from __future__ import annotations

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import rfc8785

from audit.archive import Archive
from audit.dsse import Signer, to_sign
from tests.audit.envelopes import BadStatement, opened


def test_the_encoding_is_that_of_the_protocol() -> None:
    """The example of the protocol's own text."""
    assert to_sign("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_an_envelope_opens_with_its_key_alone(tmp_path: Path) -> None:
    signer, other = Signer.opened(tmp_path / "a"), Signer.opened(tmp_path / "b")
    envelope = signer.envelope("text/plain", "内容".encode())
    assert envelope == Signer.opened(tmp_path / "a").envelope("text/plain", "内容".encode())
    assert opened(envelope, signer.public) == ("text/plain", "内容".encode())
    with pytest.raises(BadStatement):
        opened(envelope, other.public)
    forged = json.loads(envelope) | {"payloadType": "text/html"}
    with pytest.raises(BadStatement):
        opened(rfc8785.dumps(forged), signer.public)
    with pytest.raises(BadStatement):
        opened(b"{}", signer.public)


def test_two_that_come_first_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        signers = list(threads.map(lambda _n: Signer.opened(tmp_path / "key"), range(16)))
    assert len({signer.public for signer in signers}) == 1
    assert [file.name for file in (tmp_path / "key").iterdir()] == ["key"]
    assert (tmp_path / "key" / "key").stat().st_mode & 0o77 == 0


def test_an_archive_is_the_same_every_time() -> None:
    made = []
    for _time in range(2):
        out = io.BytesIO()
        archive = Archive(out)
        archive.add("a.json", b"{}")
        archive.add("内容.txt", (b"piece %d\n" % n for n in range(3)))
        archive.close()
        made.append(out.getvalue())
        assert archive.digests["a.json"][1] == 2
    assert made[0] == made[1]
    with zipfile.ZipFile(io.BytesIO(made[0])) as read:
        assert read.testzip() is None and read.read("内容.txt") == b"piece 0\npiece 1\npiece 2\n"
