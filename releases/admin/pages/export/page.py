"""The whole ledger as JSON Lines, streamed; the export itself is an event, the last one in the file. Beside it the
programs with which an outsider verifies it.
"""

import base64
from collections.abc import Iterator
from hashlib import sha256
from itertools import batched
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _, gettext_lazy

from audit import export, export_part, verification
from audit.ledger.link import link_pending
from audit.ledger.note import BadNote, KeyRing
from audit.models import Checkpoint, LedgerHead
from audit.offline import ringi_verify
from audit.operation import record_event
from environments.admin.rights import auditors
from releases.admin.components.formatting import show
from releases.admin.pages.timeline.page import number_of
from releases.reporting.evidence_pack import pack

LINES = 500
# The programs for outsiders, and what each is for.
PROGRAMS = {
    "ringi_verify": gettext_lazy("verifies an export; the others need it in the same folder"),
    "ringi_verify_pack": gettext_lazy("verifies an evidence pack"),
    "ringi_verify_year": gettext_lazy("verifies the archive of a closed year; needs the two above"),
    "ringi_verify_approval": gettext_lazy("verifies an approval in a pipeline"),
    "ringi_witness": gettext_lazy("keeps and cosigns checkpoints as a witness"),
}


def public_key() -> KeyRing | None:
    """Return the signer's public keys; None where this host has no file of them."""
    try:
        return verification.public_keys() or None
    except (OSError, BadNote):
        return None


class _Export:
    """An export on a connection of its own, closed with the last piece or when the reader disconnects."""

    def __init__(self, part: tuple[int, int] | None = None) -> None:
        """part: the first and the last number, where not the whole ledger is wanted."""
        connection.ensure_connection()
        # The server of this request, which is no former primary where several are named.
        here = connection.connection.info
        parameters: dict[str, Any] = connection.get_connection_params() | {"host": here.host, "port": here.port}
        kept = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
        self.connection = psycopg.connect(**{k: v for k, v in parameters.items() if k in kept}, autocommit=True)
        self.number = self.length = 0
        whole = export.lines(self.connection, public_key(), on_start=self._keep_size)
        self.lines = whole if part is None else self._part(*part)
        self.first = next(self.lines)

    def _keep_size(self, number: int, length: int) -> None:
        self.number, self.length = number, length

    def _part(self, first: int, last: int) -> Iterator[str]:
        with self.connection.transaction():
            self.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield from export_part.lines(self.connection, first, last, key=public_key())

    def __iter__(self) -> Iterator[bytes]:
        yield self.first.encode()
        for some in batched(self.lines, LINES, strict=False):
            yield "".join(some).encode()

    def close(self) -> None:
        """Close the connection."""
        self.lines.close()  # type: ignore[attr-defined]
        self.connection.close()


@auditors
def ledger_export(request: HttpRequest) -> HttpResponseBase:
    """Show what can be exported; `take=1` streams it with its length, so that the browser shows the progress."""
    if not request.GET.get("take"):
        return show(
            request,
            "pages/export/export.html",
            _("Export of the ledger"),
            head=LedgerHead.objects.first(),
            checkpoint=Checkpoint.objects.order_by("-number").first(),
            key=public_key(),
            statements=base64.b64encode(pack.signer().public).decode(),
            programs=[
                {"name": name, "purpose": purpose, "digest": sha256(_program(name)).hexdigest()}
                for name, purpose in PROGRAMS.items()
            ],
        )
    link_pending(connection)
    head = LedgerHead.objects.get()
    first, last = (number_of(request.GET.get(name, "")) for name in ("first", "last"))
    part = (first or 1, min(last or head.number, head.number)) if first or last else None
    if part is not None and part[0] > part[1]:
        raise Http404
    details: dict[str, Any] = {"first": part[0], "last": part[1]} if part is not None else {}
    record_event("audit:export_ledger", **details)
    link_pending(connection)
    made = _Export(part)
    answer = StreamingHttpResponse(iter(made), content_type="application/x-ndjson")
    answer._resource_closers.append(made.close)  # type: ignore[attr-defined]
    if part is None:
        answer["Content-Length"] = str(made.length)
    name = f"ledger-{made.number}" if part is None else f"ledger-{part[0]}-{part[1]}"
    answer["Content-Disposition"] = f'attachment; filename="{name}.jsonl"'
    return answer


@auditors
def program(request: HttpRequest, name: str) -> HttpResponse:
    """Send one of the programs for outsiders."""
    if name not in PROGRAMS:
        raise Http404
    answer = HttpResponse(_program(name), content_type="text/x-python")
    answer["Content-Disposition"] = f'attachment; filename="{name}.py"'
    return answer


def _program(name: str) -> bytes:
    return Path(ringi_verify.__file__).with_name(f"{name}.py").read_bytes()
