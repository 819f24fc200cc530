"""The evidence pack: one change as an archive that proves itself, with the same bytes each time for the same facts.

It contains neither the time of the download nor the reader; both are in the ledger, with its digest.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import rfc8785
from django.conf import settings
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.utils import translation

from audit import verification
from audit.archive import Archive
from audit.dsse import Signer
from audit.ledger.link import link_pending
from audit.ledger.tree import Tree
from releases.models import Evidence, Release
from releases.reporting.evidence_pack import collected, ledger_part, sections

MANIFEST = "application/vnd.ringi.manifest.v1+json"
LANGUAGES = ("ja", "en")
LEDGER_SIGNER_KEYS = "keys/ledger-signer.pub"
STATEMENT_KEY = "keys/statements.pub"


def signer() -> Signer:
    """Return the application's key for statements, from its state folder."""
    return Signer.opened(Path(settings.STATE_DIR) / "statements")


def ledger_signer_keys() -> bytes:
    """Return the public keys of the ledger signer, one a line; empty where the application cannot read them."""
    return "".join(f"{key}\n" for key in verification.public_keys()).encode()


def _page(change: Any, part: ledger_part.LedgerPart, language: str, operation_name: Callable[[str], str]) -> bytes:
    with translation.override(language):
        context = {
            "language": language,
            "release": change.release,
            "tables": sections.tables(change, part, operation_name),
            "part": part,
            "first": part.numbers[0] if part.numbers else None,
            "last": part.numbers[-1] if part.numbers else None,
        }
        return render_to_string("reporting/evidence_pack/pack.html", context).encode()


def write(
    release: Release, out: IO[bytes], *, tree: Tree | None = None, operation_name: Callable[[str], str] = str
) -> str:
    """Write the pack of one change; return the SHA-256 of its manifest.

    tree: one for several packs, so that the ledger is read once. The function holds one change in memory, and of
    series, evidence and events one piece at a time.
    """
    link_pending(connection)
    # One snapshot, so that no operation in between makes its parts contradict each other.
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return write_in_snapshot(release, out, tree or Tree(connection), operation_name)


def write_in_snapshot(release: Release, out: IO[bytes], tree: Tree, operation_name: Callable[[str], str]) -> str:
    """Write the pack as `write` does, in the open transaction, which looks at one snapshot."""
    change = collected.collect(release.pk)
    part = ledger_part.part_of(change.labels)
    key = signer()
    archive = Archive(out)
    for language in LANGUAGES:
        archive.add(f"index.{language}.html", _page(change, part, language, operation_name))
    archive.add("change.json", collected.document(change))
    procedure = change.release.procedure
    if procedure is not None:
        archive.add("procedure.json", rfc8785.dumps(procedure.content))
    if change.release.process is not None:
        archive.add("deployment-process.json", rfc8785.dumps(change.release.process.content))
    for approval_request in change.approval_requests:
        archive.add(f"approval-requests/{approval_request.pk}.json", rfc8785.dumps(approval_request.document))
    for row in change.evidence:
        content = Evidence.objects.values_list("content", flat=True).get(pk=row.pk)
        archive.add(collected.file_name(row), bytes(content))
    for deployment in change.deployments:
        for monitoring in deployment.monitoring_periods:
            archive.add(collected.series_name(monitoring), collected.series(monitoring))
    archive.add("ledger/events.jsonl", ledger_part.lines(part, tree))
    if part.note:
        archive.add("ledger/checkpoint.txt", part.note.encode())
    archive.add(LEDGER_SIGNER_KEYS, ledger_signer_keys())
    archive.add(STATEMENT_KEY, base64.b64encode(key.public) + b"\n")
    manifest = rfc8785.dumps(
        {
            "v": 1,
            "type": "evidence-pack",
            "number": change.release.number,
            "release": str(change.release),
            "ledger": {
                "events": len(part.numbers),
                "first": part.numbers[0] if part.numbers else None,
                "last": part.numbers[-1] if part.numbers else None,
                "size": part.size,
                "root": part.root,
                "unproven": part.unproven,
            },
            "files": {name: {"sha256": digest, "bytes": size} for name, (digest, size) in archive.digests.items()},
        }
    )
    archive.add("manifest.json", manifest)
    digest = archive.digests["manifest.json"][0]
    archive.add("manifest.dsse.json", key.envelope(MANIFEST, manifest))
    archive.close()
    return digest
