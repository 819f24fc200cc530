"""Secrets at rest: not readable in the column, bound to their place, and masked in what is compared."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from environments import key_ring
from environments.secrets import decrypt, encrypt, key_of, keyed_digest


def test_what_was_encrypted_is_decrypted_again(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    encrypted = encrypt("十分に長い合言葉", "1/2/PASSWORD")
    assert decrypt(encrypted, "1/2/PASSWORD") == "十分に長い合言葉"
    assert encrypt("十分に長い合言葉", "1/2/PASSWORD") != encrypted, "two ciphertexts are never alike"


def test_a_encrypted_value_moved_elsewhere_does_not_open(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    encrypted = encrypt("word", "1/2/PASSWORD")
    for place in ("1/3/PASSWORD", "1/2/OTHER", ""):
        with pytest.raises(InvalidTag):
            decrypt(encrypted, place)


def test_under_another_key_it_does_not_open(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path / "one"
    encrypted, digest = encrypt("word", "a"), keyed_digest({"k": "v"})
    settings.STATE_DIR = tmp_path / "two"
    with pytest.raises(key_ring.KeyMissing, match=key_of(encrypted)):
        decrypt(encrypted, "a")
    assert keyed_digest({"k": "v"}) != digest, "without the key nobody can try words out"


def test_the_key_is_readable_by_its_owner_only(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    encrypt("word", "a")
    key = tmp_path / "secrets" / "configuration.keys"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700


def test_of_many_at_once_one_key_is_made(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    digests: list[str] = []
    ready = threading.Barrier(8)

    def first() -> None:
        ready.wait(10)
        digests.append(keyed_digest({"k": "v"}))

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(digests) == 8 and len(set(digests)) == 1


def test_the_digest_does_not_depend_on_the_order_of_keys(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    assert keyed_digest({"a": "1", "b": "2"}) == keyed_digest({"b": "2", "a": "1"})
    assert keyed_digest({"a": "1", "b": "2"}) != keyed_digest({"a": "12", "b": ""})


def test_a_new_key_encrypts_and_the_old_one_still_decrypts(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    before, digest = encrypt("word", "a"), keyed_digest({"k": "v"})
    added = key_ring.add()
    assert key_of(encrypt("word", "a")) == key_of(before), "an added key encrypts nothing yet"
    key_ring.use(added.newest)
    after = encrypt("word", "a")
    assert key_of(after) == added.newest != key_of(before)
    assert decrypt(before, "a") == decrypt(after, "a") == "word"
    assert keyed_digest({"k": "v"}) == digest, "what was consented to goes on to match"


def test_the_key_that_encrypts_is_never_dropped(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    encrypted = encrypt("word", "a")
    key_ring.drop(set(key_ring.read().keys))
    assert decrypt(encrypted, "a") == "word"


def test_a_value_encrypted_under_one_key_does_not_open_under_another_ones_name(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    encrypted = encrypt("word", "a")
    added = key_ring.add()
    with pytest.raises(InvalidTag):
        decrypt(encrypted.replace(key_of(encrypted), added.newest), "a")


def test_the_ring_prints_no_key(settings: Any, tmp_path: Path) -> None:
    settings.STATE_DIR = tmp_path
    ring = key_ring.read()
    assert all(secret.hex() not in repr(ring) and repr(secret) not in repr(ring) for secret in ring.keys.values())
