"""Whether a release can be rolled back: by its plan and its migrations, before approval is requested."""

from typing import Any

from django.utils.translation import gettext as _

from releases.gates.base import Known
from releases.models import Release


def migrations_of(release: Release, known: Known | None = None) -> list[dict[str, Any]] | None:
    """Return the migrations that a release brings, with what of each can't be undone; None: they were never read."""
    fact = (known or Known(release)).facts.get("migrations")
    if fact is None or fact.value.get("commit") != release.commit:
        return None
    files: list[dict[str, Any]] = fact.value["files"]
    return files


def rollback_methods(plan: dict[str, Any]) -> set[str]:
    """Return how the plan's database steps go back: none, reverse, restore; empty where there is none."""
    rows = [row for row in plan.get("rollback", []) if row["step_type"] == "database_update"]
    return {row["parameters"].get("rollback_method", "restore") for row in rows}


def faults(release: Release, known: Known | None = None) -> list[str]:
    """Return a message for each part without a rollback; a restore of the proved dump undoes all parts."""
    forward = [row for row in release.step_plan.get("deployment", []) if row["step_type"] == "database_update"]
    if not forward:
        return []
    files = migrations_of(release, known)
    if files is None:
        return [_("The migrations of this release have not been read yet. Refresh from Git first.")]
    ways = rollback_methods(release.step_plan)
    if files and not ways:
        return [_("The step plan changes the database, but has no step that rolls the change back.")]
    found: list[str] = []
    if "none" in ways:
        found += _sentences(files, _("The step plan says that the database needs no rollback, but %(path)s: %(what)s"))
    if "reverse" in ways:
        found += _sentences(
            files, _("The step plan rolls back with a reverse migration, but %(path)s cannot be undone: %(what)s")
        )
    return found


def _sentences(files: list[dict[str, Any]], text: str) -> list[str]:
    return [
        text % {"path": f"{file['path']}:{finding['line']}", "what": finding["what"]}
        for file in files
        for finding in file["findings"]
    ]
