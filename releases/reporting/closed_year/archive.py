"""The archive of a closed year, given away piece by piece, so that no size of a ledger is held in memory or on disk.

It looks at one snapshot of the database. From the same state the same version of Ringi makes the same bytes: neither
the time nor the reader stands in it. `manage.py archive_year` and the page of the year call it.
"""

import base64
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import rfc8785
from django.db import connection, transaction
from django.utils.translation import gettext as _

from audit import export_part, verification
from audit.archive import Streamed
from audit.ledger.tree import Tree
from audit.models import Checkpoint, ClosedYear, Event
from audit.offline import ringi_verify
from audit.refusals import NotPossible
from releases.reporting.closed_year import members
from releases.reporting.evidence_pack import pack, population as of_period
from releases.reporting.evidence_pack.population import Population

PROGRAMS = ("ringi_verify", "ringi_verify_pack", "ringi_verify_year")
CLOSED_BY = ("year:request_closing", "year:confirm_closing")
IN_MEMORY, PIECE, LINES = 1 << 20, 1 << 16, 500
# As ringi_verify_year.py knows them.
EVENTS, CLOSING, PACKS = "ledger/events.jsonl", "ledger/closing.jsonl", "evidence-packs/"
LIST, COUNT = "population/deployments.csv", "population/deployments.dsse.json"


class YearArchive:
    """One archive being made; iterate it once. `made.digest` and `made.length` are those of the bytes so far."""

    def __init__(self, row: ClosedYear, operation_name: Callable[[str], str]) -> None:
        """row: a year that two people have closed. operation_name: the words of an operation, for evidence packs."""
        self.row, self.operation_name = row, operation_name
        self.made = Streamed()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes. Raises NotPossible, before the first of them, while no checkpoint covers the closing; and
        audit.ledger.parts.Broken where the ledger is not whole.
        """
        with transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                # A slow reader is waited for.
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield from self._members()

    def _members(self) -> Iterator[bytes]:
        row, key, tree = self.row, pack.signer(), Tree(connection)
        closing = list(_closing(row, tree))
        for name, content in _beside(key.public).items():
            yield from self.made.adding(name, content)
        yield from self.made.adding("closing.json", members.closing(row))
        yield from self.made.adding(CLOSING, closing)
        yield from self.made.adding(EVENTS, self._events())
        whole = of_period.deployments(row.since, row.until, link=False)
        yield from self.made.adding(LIST, members.population(whole))
        statement = rfc8785.dumps(whole.statement())
        yield from self.made.adding(COUNT, key.envelope(of_period.STATEMENT, statement))
        yield from self._packs(whole, tree)
        for name, content in members.tables(row):
            yield from self.made.adding(name, content)
        manifest = self._manifest(tree)
        yield from self.made.adding("manifest.json", manifest)
        yield from self.made.adding("manifest.dsse.json", key.envelope(pack.MANIFEST, manifest))
        yield self.made.ending()

    def _events(self) -> Iterator[bytes]:
        row, some = self.row, list[str]()
        keys = verification.public_keys() or None
        lines = export_part.lines(connection.connection, row.first, row.last, key=keys, after=row.checkpoint)
        for line in lines:
            some.append(line)
            if len(some) == LINES:
                yield "".join(some).encode()
                some.clear()
        yield "".join(some).encode()

    def _packs(self, whole: Population, tree: Tree) -> Iterator[bytes]:
        """Yield the evidence pack of each change that reached production, once."""
        done = set[str]()
        for change in whole.changes:
            release = change.release
            if release is None or not release.number or release.number in done:
                continue
            done.add(release.number)
            with tempfile.SpooledTemporaryFile(IN_MEMORY) as one:
                pack.write_in_snapshot(release, one, tree, self.operation_name)  # type: ignore[arg-type]
                yield from self.made.adding(f"{PACKS}{release.number}.zip", _pieces(one))  # type: ignore[arg-type]

    def _manifest(self, tree: Tree) -> bytes:
        row = self.row
        found: dict[str, Any] = {
            "v": 1,
            "type": "closed-year",
            "year": str(row),
            "ledger": {
                "first": row.first,
                "last": row.last,
                "root": tree.root(0, row.last).hex(),
                "chain": row.contents["chain"],
            },
            "files": {name: {"sha256": digest, "bytes": size} for name, (digest, size) in self.made.digests.items()},
        }
        return bytes(rfc8785.dumps(found))


def _closing(row: ClosedYear, tree: Tree) -> Iterator[bytes]:
    """Yield the two events of the closing, each with its proof under the first checkpoint that covers both."""
    events = Event.objects.filter(
        kind="operation", object=f"audit.ClosedYear:{row.pk}", operation__in=CLOSED_BY
    ).order_by("ledger_entry__number")
    found = list(events.filter(ledger_entry__isnull=False).values_list("ledger_entry__number", "bytes"))
    last = max((number for number, _raw in found), default=0)
    checkpoint = Checkpoint.objects.filter(number__gte=last).order_by("number").first()
    if checkpoint is None or len(found) != len(CLOSED_BY):
        raise NotPossible(_("No checkpoint covers the closing of this year yet. Try again in a few seconds."))
    for number, raw in found:
        path = [node.hex() for node in tree.inclusion(number - 1, checkpoint.number)]
        event = base64.b64encode(bytes(raw)).decode()
        yield rfc8785.dumps({"number": number, "event": event, "path": path, "checkpoint": checkpoint.note}) + b"\n"


def _beside(public: bytes) -> dict[str, bytes]:
    """Return what says how to read the archive: texts, programs and public keys."""
    here, offline = Path(__file__).parent, Path(ringi_verify.__file__).parent
    texts = {name: (here / name).read_bytes() for name in ("README.md", "README.ja.md")}
    programs = {f"programs/{name}.py": (offline / f"{name}.py").read_bytes() for name in PROGRAMS}
    keys = {pack.LEDGER_SIGNER_KEYS: pack.ledger_signer_keys(), pack.STATEMENT_KEY: base64.b64encode(public) + b"\n"}
    return {**texts, **programs, **keys}


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece
