"""A ledger signer with a time-stamping authority, for tests of the stamps."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

from audit import export
from audit.ledger import checkpoint as cp, time_stamps
from audit.ledger.delivery import write_access
from audit.ledger.note import KeyRing
from audit.ledger.parts import Finding
from audit.ledger.stamping import INTERVAL, Stamping
from audit.offline import ringi_verify
from tests.audit.conftest import LedgerDatabase, events, fill
from tests.time_stamping import Authority


class Stamped:
    """A signer whose checkpoints an authority stamps, and the clock that says when one is due."""

    def __init__(self, ledger: LedgerDatabase, folder: Path, authority: Authority, trusted: Authority) -> None:
        self.app, self.now, self.authority = ledger.as_app(), time.time(), authority
        self.signer, self.ca = cp.LedgerSigner(folder / "ledger_signer"), trusted.ca
        known = ringi_verify.Authority(str(self.ca))
        self.stamping = Stamping(self.signer, authority.url, known, clock=lambda: self.now)

    def stamp(self, count: int = 3) -> list[str]:
        """Write events, sign them, have them stamped when that is due, and sign the stamp; return what failed."""
        fill(self.app, count)
        self.signer.sign(self.app)
        failed = list(self.stamping.carrying(self.app))
        self.signer.sign(self.app)
        return failed

    def later(self, seconds: float = INTERVAL + 1) -> None:
        """Let time pass for the signer."""
        self.now += seconds

    def export(self, file: Path) -> Path:
        """Write the export."""
        file.write_text("".join(export.lines(self.app, KeyRing(self.signer.keys))), "utf-8")
        return file

    def findings(self, behind: int = 0) -> list[Finding]:
        """Return what the verification in the database finds."""
        with self.app.cursor() as cursor:
            return list(time_stamps.findings(cursor, ringi_verify.Authority(str(self.ca)), behind))

    def of(self, outcome: str) -> list[dict[str, Any]]:
        """Return the events of this outcome."""
        found = [one for one in events(self.app) if one["operation"] == "audit:time_stamp"]
        return [one for one in found if one["outcome"] == outcome]


def verify(capsys: Any, *words: Any) -> tuple[int, str]:
    status = ringi_verify.main([str(word) for word in words])
    return status, capsys.readouterr().out


def digest_of(stamped: Stamped, size: int) -> str:
    (note,) = stamped.app.execute("SELECT note FROM audit_checkpoint WHERE number = %s", [size]).fetchone()
    return ringi_verify.sha256(note.encode()).hexdigest()


def details(stamped: Stamped, authority: Authority, size: int) -> dict[str, Any]:
    """Return what an event would say of a stamp that an authority makes beside the signer."""
    query, answer, token = (authority.folder / name for name in ("its-query", "its-answer", "token"))
    run = ringi_verify.Authority.run
    run("ts", "-query", "-digest", digest_of(stamped, size), "-sha256", "-cert", "-out", str(query))
    answer.write_bytes(authority.reply(query.read_bytes()))
    run("ts", "-reply", "-in", str(answer), "-token_out", "-out", str(token))
    stated = time.gmtime(ringi_verify.Authority(str(stamped.ca)).time(token.read_bytes()))
    encoded = base64.b64encode(token.read_bytes()).decode()
    return {"token": encoded, "time": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", stated)}


def forge(stamped: Stamped, ledger: LedgerDatabase, **changed: Any) -> None:
    """Put an event with another stamp into the ledger, as a thief of the signer's database password could."""
    after = stamped.of("done")[-1]["after"] | changed
    fill(stamped.app, 1)
    write_access(stamped.app, "audit:time_stamp", "audit.Checkpoint:3", after, "done")
    stamped.signer.sign(stamped.app)


def set_clock(ledger: LedgerDatabase, minutes: int) -> None:
    """Set the clock that the ledger reads."""
    admin = ledger.as_superuser()
    (body,) = admin.execute("SELECT pg_get_functiondef('ringi_write'::regproc)").fetchone()
    plain = body.replace("moment timestamptz := clock_timestamp()", "moment timestamptz := AT")
    plain = ringi_verify.re.sub(r"moment timestamptz := [^;]*", "moment timestamptz := AT", plain)
    admin.execute(plain.replace(":= AT", f":= clock_timestamp() + interval '{minutes} minutes'"))
