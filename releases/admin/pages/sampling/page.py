"""Sampling: the population of changes in a period, a sample drawn from it, and the evidence of each to download."""

import tempfile
from collections.abc import Iterator
from hashlib import sha256
from typing import IO

import rfc8785
from django.db import connection
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from audit.archive import Archive
from audit.ledger.tree import Tree
from audit.operation import record_event
from environments.admin.rights import auditors
from releases.admin.components import sheet
from releases.admin.components.change_history import operation_name
from releases.admin.components.formatting import show
from releases.admin.components.period import Period, period_of
from releases.admin.pages.timeline.page import number_of
from releases.models import Release
from releases.reporting.evidence_pack import pack, population as of_period
from releases.reporting.evidence_pack.population import Change, Population
from releases.reporting.evidence_pack.population_table import table

MOST = 200
SHOWN = 500
IN_MEMORY = 1 << 20


def _asked(request: HttpRequest) -> tuple[Period, Population, str, list[Change]]:
    period = period_of(request)
    of = of_period.population if request.GET.get("of") == "changes" else of_period.deployments
    whole = of(period.since, period.until)
    seed = request.GET.get("seed", "").strip()[:100].replace("\x00", "") or of_period.default_seed()
    size = min(number_of(request.GET.get("size", "")) or of_period.SAMPLE, MOST)
    return period, whole, seed, of_period.sample(whole.changes, seed, size)


@auditors
def sampling(request: HttpRequest) -> HttpResponseBase:
    """Show population and sample; `take=population` gives the list, `take=statement` the signed count."""
    period, whole, seed, drawn = _asked(request)
    take = request.GET.get("take", "")
    statement = whole.statement()
    name = f"population-{whole.of}-{period.first_day}-{period.last_day}"
    if take in ("population", "statement"):
        record_event(
            f"audit:export_{take}",
            since=period.since.isoformat(),
            until=period.until.isoformat(),
            **{"population": whole.of, "count": statement["count"], "digest": statement["digest"]},
        )
    if take == "population":
        return sheet.answer(name, *table(whole.of, whole.changes))
    if take == "statement":
        answer = HttpResponse(
            pack.signer().envelope(of_period.STATEMENT, rfc8785.dumps(statement)), content_type="application/json"
        )
        answer["Content-Disposition"] = f'attachment; filename="{name}.dsse.json"'
        return answer
    head, rows = table(whole.of, drawn)
    return show(
        request,
        "pages/sampling/sampling.html",
        _("Sampling"),
        period=period,
        population=whole,
        populations=[("deployments", _("production deployments")), ("changes", _("numbered changes"))],
        head=head,
        statement=statement,
        seed=seed,
        size=len(drawn),
        drawn=[(change, list(map(sheet.cell, row))) for change, row in zip(drawn, rows, strict=True)],
        changes=whole.changes[:SHOWN],
        more=max(0, len(whole.changes) - SHOWN),
    )


def _temporary() -> IO[bytes]:
    """Return a temporary file: in memory while it is small, and deleted with its last reader."""
    return tempfile.SpooledTemporaryFile(IN_MEMORY)  # type: ignore[return-value]  # noqa: SIM115


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(1 << 16):
        yield piece


def _digest(file: IO[bytes]) -> str:
    digest = sha256()
    for piece in _pieces(file):
        digest.update(piece)
    return digest.hexdigest()


def _download(file: IO[bytes], name: str) -> FileResponse:
    length = file.seek(0, 2)
    file.seek(0)
    answer = FileResponse(file, as_attachment=True, filename=name, content_type="application/zip")
    answer["Content-Length"] = str(length)
    return answer


@auditors
def evidence_pack(request: HttpRequest, number: str) -> HttpResponseBase:
    """Give the evidence of one change; the download and its digest are an event."""
    release = Release.objects.filter(number=number).first()
    if release is None:
        raise Http404
    file = _temporary()
    manifest = pack.write(release, file, operation_name=operation_name)
    record_event("audit:export_pack", number=number, release=release.pk, manifest=manifest, digest=_digest(file))
    return _download(file, f"{number}.zip")


@auditors
def evidence_packs(request: HttpRequest) -> HttpResponseBase:
    """Give the sample as one archive: each pack, the population, its signed count, and how the sample was drawn."""
    period, whole, seed, drawn = _asked(request)
    file, tree = _temporary(), Tree(connection)
    archive, packs = Archive(file), dict[str, str]()
    for change in drawn:
        if change.release is None or change.release.number in (None, *packs):
            continue
        number = str(change.release.number)
        with _temporary() as one:
            pack.write(change.release, one, tree=tree, operation_name=operation_name)
            archive.add(f"{number}.zip", _pieces(one))
        packs[number] = archive.digests[f"{number}.zip"][0]
    archive.add("population.csv", "".join(sheet.lines(*table(whole.of, whole.changes))).encode())
    archive.add("population.dsse.json", pack.signer().envelope(of_period.STATEMENT, rfc8785.dumps(whole.statement())))
    archive.add(
        "sample.json",
        rfc8785.dumps(
            {"v": 1, "population": whole.of, "seed": seed, "numbers": [c.number for c in drawn], "packs": packs}
        ),
    )
    archive.close()
    record_event(
        "audit:export_sample",
        since=period.since.isoformat(),
        until=period.until.isoformat(),
        seed=seed,
        numbers=[change.number for change in drawn],
        digest=_digest(file),
    )
    return _download(file, f"sample-{period.first_day}-{period.last_day}.zip")
