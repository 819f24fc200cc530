"""Tested releases: operations bring one there, the others are copies of its rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from audit.actor import acting
from audit.operation import operation
from releases.models import Deployment, DocumentSignature, Release
from releases.operations.release.prepare import cancel
from tests.releases.conftest import World
from tests.releases.gates.asking import COMMAND, walk

COPIED = ("changes", "milestones", "checklist", "team_members", "documents")
RUN = ("scheduled", "queued", "running", "verifying", "monitoring", "succeeded")


class Stock:
    """Makes tested releases of one version, one at a time: the one before has ended."""

    def __init__(self, world: World) -> None:
        self.world = world
        first = world.tested()
        self.release = first
        self.rows = {name: list(getattr(first, name).all()) for name in COPIED}
        self.signatures = [list(document.signatures.all()) for document in self.rows["documents"]]
        self.editors = list(first.editors.all())
        self.deployments = list(Deployment.objects.filter(release=first).order_by("pk"))
        self.count = 0
        self.end(first)

    def end(self, release: Any) -> None:
        """Cancel a release, after the deployment that occupies production was resolved."""
        for deployment in Deployment.objects.filter(release=release, state__in=["running", "queued"]):
            walk(deployment, *(("fail", "resolve") if deployment.state == "running" else ("cancel",)))
        found = Release.objects.get(pk=release.pk)
        if found.state == "releasing":
            found = walk(found, "stand_down")
        if found.state not in Release.ENDS:
            with self.world.acting_as("manager"):
                cancel(found.pk, reason="the next one")

    def take(self) -> Any:
        """Return a new tested release, with everything that its gates ask for, in its own window."""
        self.count += 1
        with acting(COMMAND), operation("test:copy") as op:
            made = _twin(self.release, state="draft", number=f"C-{self.count}")
            made.scheduled_start_at = self.release.scheduled_start_at + timedelta(microseconds=self.count)
            made.save_base(raw=True)
            made.editors.set(self.editors)
            for rows in self.rows.values():
                type(rows[0])._default_manager.bulk_create(
                    [_twin(row, release=made, **({"state": "draft"} if hasattr(row, "state") else {})) for row in rows]
                )
            for document, signatures in zip(made.documents.order_by("pk"), self.signatures, strict=True):
                DocumentSignature.objects.bulk_create(_twin(row, document=document) for row in signatures)
            for state in ("content_checked", "approved", "ready_to_publish"):
                made.documents.update(state=state)
            for deployment in self.deployments:
                copied = _twin(deployment, release=made, state="requested")
                copied.save_base(raw=True)
                for state in RUN:
                    Deployment.objects.filter(pk=copied.pk).update(state=state)
            for state in ("scope_locked", "testing_completed"):
                Release.objects.filter(pk=made.pk).update(state=state)
            op.about(made)
        return Release.objects.get(pk=made.pk)


def _twin(row: Any, **fields: Any) -> Any:
    values = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields if not f.primary_key}
    names = {name: value for name, value in fields.items() if not hasattr(value, "pk")}
    names |= {f"{name}_id": value.pk for name, value in fields.items() if hasattr(value, "pk")}
    return type(row)(**(values | names))
