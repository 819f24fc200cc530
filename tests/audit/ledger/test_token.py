"""The ledger signer's key in a token (PKCS #11): SoftHSM, which Debian has."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import export
from audit.ledger import checkpoint as cp, signing_key
from audit.ledger.chain import HOLDS, verify
from audit.ledger.note import KeyRing, notes_of
from audit.ledger.signing_key import TokenFault
from tests.audit.conftest import LedgerDatabase, fill
from tests.audit.ledger.test_resumption import _offline

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234-own"


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A token of this process's tests. The module reads its configuration once."""
    if shutil.which("softhsm2-util") is None or not MODULE.exists():
        pytest.skip("softhsm2 is not installed: no token signs")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n", "utf-8")
    os.environ["SOFTHSM2_CONF"] = str(folder / "conf")
    words = ["--init-token", "--free", "--label", "ringi test", "--pin", PIN, "--so-pin", "5678"]
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, timeout=60)


@pytest.fixture
def token(initialised: None, settings: Any) -> Iterator[None]:
    settings.LEDGER_TOKEN, settings.LEDGER_TOKEN_PIN = f"pkcs11:token=ringi%20test?module-path={MODULE}", PIN
    yield
    signing_key.close_token()


def test_what_a_token_signs_is_verified_as_ever_and_the_key_stays_there(
    token: None, ledger: LedgerDatabase, tmp_path: Path
) -> None:
    from pkcs11 import Attribute, ObjectClass

    app = ledger.as_app()
    fill(app, 3)
    signer = cp.LedgerSigner(tmp_path)
    signer.sign(app)
    fill(app, 2)
    signer = cp.LedgerSigner(tmp_path)  # a restart
    last = signer.sign(app)
    assert last is not None and last.size == 5
    assert verify(app, key=signer.public, notes=list(notes_of(tmp_path / "checkpoints.txt"))).exit_status == HOLDS
    assert _offline(list(export.lines(app, KeyRing((signer.public,)))), [signer.public]) == (0, "")
    name, held = (tmp_path / "key").read_text("utf-8").split()
    assert name == signer.origin and held.startswith("pkcs11:ringi-") and len(held) == len("pkcs11:ringi-") + 16
    with signing_key._token() as session:
        label = held.removeprefix("pkcs11:")
        private: Any = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=label)
        assert (private[Attribute.SENSITIVE], private[Attribute.EXTRACTABLE]) == (True, False)


def test_a_ledger_moves_into_the_token_by_a_renewal(
    token: None, settings: Any, ledger: LedgerDatabase, tmp_path: Path
) -> None:
    app, uri = ledger.as_app(), settings.LEDGER_TOKEN
    settings.LEDGER_TOKEN = ""
    fill(app, 2)
    signer = cp.LedgerSigner(tmp_path)
    signer.sign(app)
    first = signer.public
    settings.LEDGER_TOKEN = uri
    signer.renew_key(app, "into the token")
    assert "pkcs11:" in (tmp_path / "key").read_text("utf-8") and signer.public != first
    fill(app, 2)
    signer.sign(app)
    assert verify(app, key=first).exit_status == HOLDS, "a verifier that believes the first key believes the next one"
    assert _offline(list(export.lines(app, KeyRing((first,)))), [first]) == (0, "")


def test_a_token_that_went_away_signs_again_when_it_is_back(
    token: None, ledger: LedgerDatabase, tmp_path: Path
) -> None:
    app = ledger.as_app()
    fill(app, 2)
    signer = cp.LedgerSigner(tmp_path)
    signer.sign(app)
    fill(app, 2)
    signing_key._sessions[0].close()  # as a token that is drawn and put back
    with pytest.raises(TokenFault, match="the token of RINGI_LEDGER_TOKEN"):
        signer.sign(app)
    assert app.execute("SELECT max(number) FROM audit_checkpoint").fetchone() == (2,)
    last = signer.sign(app)
    assert last is not None and last.size == 4 and verify(app, key=signer.public).exit_status == HOLDS


@pytest.mark.parametrize("wrong", ["pin", "label", "module"])
def test_a_token_that_does_not_answer_is_named_without_its_pin(
    token: None, settings: Any, tmp_path: Path, wrong: str
) -> None:
    match wrong:
        case "pin":
            settings.LEDGER_TOKEN_PIN = "0000-other"
        case "label":
            settings.LEDGER_TOKEN = f"pkcs11:token=other?module-path={MODULE}"
        case _:
            settings.LEDGER_TOKEN = f"pkcs11:token=other?module-path={tmp_path / 'none.so'}"
    with pytest.raises(TokenFault) as fault:
        signing_key.make(tmp_path / "key", "ringi.example/ledger")
    assert len(str(fault.value)) > len("the token of RINGI_LEDGER_TOKEN: ") and "0000" not in str(fault.value)
    assert not (tmp_path / "key").exists()
