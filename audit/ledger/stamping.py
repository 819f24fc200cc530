"""Asks a time-stamping authority (RFC 3161), once a day, when the last checkpoint existed: its clock is not ours.

The ledger signer runs it in a thread of its own, so that no authority holds a signature up. A stamp that verifies is an
event, which holds the token, and a line of `time_stamps.jsonl` in the signer's folder. Any other answer is thrown away,
and an event says why.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from audit.ledger.checkpoint import LedgerSigner, Memory
from audit.ledger.delivery import LONGEST_SECONDS, Calls, NotDelivered, post, write_access
from audit.ledger.time_stamps import last_stamp
from audit.offline.ringi_verify import SECONDS, STAMP, Authority, Inconclusive
from audit.private_files import as_its_folder

INTERVAL = 86400.0
RETRY_SECONDS = 600.0


class Stamping:
    """The time stamps of a ledger signer's checkpoints; seconds of `clock`."""

    def __init__(
        self, signer: LedgerSigner, address: str, authority: Authority, clock: Callable[[], float] = time.time
    ) -> None:
        """signer: whose checkpoints and whose folder. authority: whose stamps are kept."""
        self.signer, self.address, self.authority, self.clock = signer, address, authority, clock
        self.file = signer.folder / "time_stamps.jsonl"
        self._calls = Calls()
        self._due: float | None = None

    def carrying(self, connection: Any) -> Iterator[str]:
        """Have the last checkpoint stamped when that is due; yield why it was not."""
        said = self.signer.said
        if not said.note or self._due is not None and self.clock() < self._due:
            return
        last = last_stamp(connection)
        if self._due is None and last.at is not None and last.age is not None and 0 <= last.age < INTERVAL:
            self._due = self.clock() + INTERVAL - last.age
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM audit_checkpoint WHERE number = %s)", [said.frontier.size])
            if not cursor.fetchone()[0]:
                return  # it is published in this moment
        about = f"audit.Checkpoint:{said.frontier.size}"
        try:
            token, moment = self._stamp(said)
        except (NotDelivered, Inconclusive, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as fault:
            self._due = self.clock() + RETRY_SECONDS
            why = (str(fault) or type(fault).__name__)[:300]
            if why != last.fault:
                write_access(connection, STAMP, about, {"said": why}, "failed")
            yield f"{self.address}: {why}"
            return
        stated = f"{time.strftime(SECONDS, time.gmtime(moment))}.000000Z"
        encoded = base64.b64encode(token).decode()
        details = {"size": said.frontier.size, "time": stated, "token": encoded}
        write_access(connection, STAMP, about, details, "done")
        self._due = self.clock() + INTERVAL
        self._keep({"note": said.note, "token": encoded})

    def _stamp(self, said: Memory) -> tuple[bytes, int]:
        """Return token and moment of a verified stamp. Raises NotDelivered and what httpx raises."""
        digest = sha256(said.note.encode()).hexdigest()
        with TemporaryDirectory() as folder:
            query, answer, token = (str(Path(folder, name)) for name in ("query", "answer", "token"))
            asked = self.authority.run("ts", "-query", "-digest", digest, "-sha256", "-cert", "-out", query)
            if asked[0]:
                raise NotDelivered(f"openssl makes no query: {asked[1].strip()[:200]}")
            call = partial(post, self.address, Path(query).read_bytes(), "application/timestamp-query")
            status, given = self._calls.in_time(self.address, call, LONGEST_SECONDS)
            if status != 200:
                raise NotDelivered(f"it answered {status}")
            Path(answer).write_bytes(given)
            if why := self.authority.why("-queryfile", query, "-in", answer):
                raise NotDelivered(f"its time stamp does not verify: {why}")
            # Of the answer only the token is signed, and read again.
            self.authority.run("ts", "-reply", "-in", answer, "-token_out", "-out", token)
            raw = Path(token).read_bytes()
        moment = self.authority.time(raw)
        if why := self.authority.fault(raw, digest, moment):
            raise NotDelivered(f"its time stamp does not verify: {why}")
        return raw, moment

    def _keep(self, kept: dict[str, str]) -> None:
        """Append a line, behind the last whole one, to the file that outlives the database."""
        with self.file.open("a+b") as out:
            as_its_folder(out.fileno(), self.file.parent)
            out.seek(0)
            out.truncate(out.read().rfind(b"\n") + 1)
            out.write(json.dumps(kept, ensure_ascii=False).encode() + b"\n")
