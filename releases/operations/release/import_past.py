"""release:read_tags, release:import_past_releases: past releases from a repository's tags, in the background.

A worker reads the tags, a person confirms what was found, a worker imports it in batches. The row shows the progress.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPossible, OperationRefused
from environments import access
from environments.models import Application
from releases import dispatch
from releases.models import Release, ReleaseImport
from releases.operations.release.import_tags import look, made_at, record
from releases.sources import git, versions

# Slow reads have a queue of their own: they do not delay a deployment's worker.
QUEUE = "checks"
AGAIN = timedelta(minutes=5)
BATCH = 25
Stage = ReleaseImport.Stage


def request(application_id: int, *, patterns: Sequence[str] = (), reason: str = "") -> ReleaseImport:
    """Have a worker read the tags of a repository. patterns: the application's own by default."""
    with operation("release:read_tags", (Application, application_id), reason=reason) as op:
        account = access.require("plan")
        application = op.get(Application)
        wanted = list(patterns) or [application.tag_format]
        if faults := [text for pattern in wanted if (text := versions.wrong_pattern(pattern))]:
            raise InvalidInput(*faults)
        op.details.update(patterns=wanted)
        row = ReleaseImport.objects.create(
            application=application, patterns=wanted, reason=reason[:300], requested_by=account, next_at=now() + AGAIN
        )
        dispatch.wake_on_commit(QUEUE, "import_past_releases", import_id=row.pk)
    return row


def confirm(import_id: int) -> ReleaseImport:
    """Have exactly what was found imported."""
    application_id = ReleaseImport.objects.values_list("application_id", flat=True).get(pk=import_id)
    with operation("release:import_past_releases", (Application, application_id)) as op:
        access.require("plan")
        row = ReleaseImport.objects.select_for_update(no_key=True).get(pk=import_id)
        if row.stage != Stage.READY:
            raise NotPossible(not_ready(row))
        op.details.update(patterns=row.patterns, releases=row.total)
        row.stage, row.next_at = Stage.IMPORTING, now() + AGAIN
        row.save(update_fields=["stage", "next_at"])
        dispatch.wake_on_commit(QUEUE, "import_past_releases", import_id=row.pk)
    return row


def not_ready(row: ReleaseImport) -> str:
    """Return why nothing can be confirmed; empty when it can."""
    if row.stage == Stage.READY:
        return ""
    return _("This import has nothing to confirm: its state is “%(state)s”.") % {"state": row.get_stage_display()}


def work(import_id: int) -> None:
    """Read the tags, or import what was confirmed, as the requester; a second call creates nothing twice."""
    row = ReleaseImport.objects.select_related("application").get(pk=import_id)
    if row.stage not in ReleaseImport.AT_WORK:
        return
    try:
        found, skipped = look(row.application, row.patterns)
        if row.stage == Stage.READING:
            there = set(Release.objects.filter(application=row.application).values_list("version", flat=True))
            known = [one.version for one in found if one.version in there]
            new = [
                [one.version, at.date().isoformat() if (at := made_at(one.tag)) is not None else "", one.tag.commit]
                for one in found
                if one.version not in there
            ]
            shown = {"new": new, "known": known, "skipped": [list(pair) for pair in skipped]}
            _move(row, Stage.READY, found=shown)
            return
        confirmed = {(version, commit) for version, _date, commit in row.found["new"]}
        wanted = [one for one in found if (one.version, one.tag.commit) in confirmed]
        for start in range(0, len(wanted), BATCH):
            record(row.application, row.patterns, wanted[start : start + BATCH], skipped, reason=row.reason)
            ReleaseImport.objects.filter(pk=row.pk).update(done=min(start + BATCH, len(wanted)), next_at=now() + AGAIN)
        gone = len(confirmed) - len(wanted)
        fault = _("%(count)d tags were moved or deleted since they were read.") % {"count": gone} if gone else ""
        _move(row, Stage.DONE, failure=fault)
    except (git.SourceUnavailable, OperationRefused) as refused:
        _move(row, Stage.FAILED, failure=str(refused)[:300])


def _move(row: ReleaseImport, stage: str, **values: object) -> None:
    """Advance a row to its next stage, unless another worker has done so."""
    ReleaseImport.objects.filter(pk=row.pk, stage=row.stage).update(stage=stage, **values)


def wake_left(moment: datetime) -> None:
    """Wake a worker for each import that no worker has advanced for a while."""
    for row in ReleaseImport.objects.filter(stage__in=ReleaseImport.AT_WORK, next_at__lte=moment):
        ReleaseImport.objects.filter(pk=row.pk).update(next_at=moment + AGAIN)
        dispatch.wake(QUEUE, "import_past_releases", import_id=row.pk)
