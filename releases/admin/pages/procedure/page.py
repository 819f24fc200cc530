"""The procedure in readable form: section by section, in both languages, with the origin of each value."""

from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext as _t, gettext_lazy as _
from pydantic import BaseModel

from audit.admin.read_only import ReadOnlyAdmin, cell
from environments.admin.rights import rights_of
from environments.language import language, listed
from environments.times import stamp
from releases.models import Procedure
from releases.procedures.parts import Part

# Section that a deployment process alone has → its heading.
PROCESS_SECTIONS = {"artefact": _("Artefact"), "strategy": _("Batches"), "variables": _("Variables")}
# Section of the document → its heading, in the order in which the written procedure has them.
SECTIONS: tuple[tuple[str, Any], ...] = (
    ("history", _("Change history")),
    ("purpose", _("Purpose")),
    ("readers", _("Readers")),
    ("environments", _("Environments")),
    ("access", _("Access matrix")),
    ("levels", _("Levels of access")),
    ("roles", _("Roles")),
    ("schedule", _("Release schedule")),
    ("milestones", _("Milestones")),
    ("checklist", _("Checklist")),
    ("recipient_groups", _("Internal and external stakeholders")),
    ("channels", _("Channels")),
    ("notification_rules", _("Notifications")),
    ("documents", _("Documents")),
    ("document_states", _("Document workflow states")),
    ("branches", _("Branches")),
    ("workflows", _("Workflows")),
    ("accepted_branches", _("Accepted branches")),
    ("protected_branches", _("Protected branches")),
    ("testing", _("Tests")),
    ("versions", _("Versions and tags")),
    ("approval_rules", _("Approval rules")),
    ("gates", _("Gates")),
    ("thresholds", _("Thresholds")),
    ("plans", _("Step plans")),
    ("checks", _("Checks")),
    ("metrics", _("Metrics")),
    ("monitoring", _("Post-deployment monitoring")),
    ("triggers", _("Rollback triggers")),
    ("rollback", _("Rollback")),
    ("team_roles", _("Team roles")),
    ("final_check", _("Final check")),
    ("follow_ups", _("Follow-up actions")),
    ("retention", _("Retention")),
)
_WORDS = ("ja", "en", "origin", "default_fields")


@dataclass(frozen=True)
class Value:
    """One field of a row: its key, its text, and whether it is a Ringi default in a row of the written procedure."""

    key: str
    text: str
    is_default: bool


@dataclass(frozen=True)
class Line:
    """One row of a section: words in both languages, other values, its origin, and its depth."""

    place: str
    ja: str
    en: str
    values: list[Value]
    origin: str
    depth: int


@dataclass(frozen=True)
class Section:
    """One section with its heading and rows."""

    key: str
    heading: str
    lines: list[Line]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "✓" if value else "—"
    if isinstance(value, dict):
        return listed(f"{key}={_text(inner)}" for key, inner in value.items())
    if isinstance(value, (tuple, list)):
        return listed(_text(inner) for inner in value)
    return str(value)


def _plain(value: Any) -> bool:
    if isinstance(value, BaseModel):
        return False
    return not (isinstance(value, (tuple, list)) and any(isinstance(inner, BaseModel) for inner in value))


def lines_of(place: str, value: Any, depth: int = 0) -> list[Line]:
    """Return the rows of a value: a part is one row, the parts inside it follow, deeper by one."""
    if isinstance(value, (tuple, list)):
        return [line for inner in value for line in lines_of(place, inner, depth)]
    if not isinstance(value, BaseModel):
        return []
    names = [name for name in type(value).model_fields if name not in _WORDS]
    own = [name for name in names if _plain(getattr(value, name))]
    found: list[Line] = []
    if isinstance(value, Part):
        found.append(
            Line(
                place=place,
                ja=getattr(value, "ja", ""),
                en=getattr(value, "en", ""),
                values=[
                    Value(name, _text(getattr(value, name)), name in value.default_fields)
                    for name in own
                    if getattr(value, name) not in ("", (), None, {})
                ],
                origin=value.origin,
                depth=depth,
            )
        )
        depth += 1
    for name in names:
        if name not in own:
            found += lines_of(name, getattr(value, name), depth)
    return found


class ProcedureAdmin(ReadOnlyAdmin):
    """Versions of the procedure; each reads like the written one."""

    list_display = ("__str__", "state", "followed", "reason", "author", "created", "since")
    list_select_related = ("author",)
    list_filter = ("state",)
    shown_fields = ("version", "state", "followed", "reason", "author", "created_at", "in_effect_at", "digest")
    detail_template: ClassVar[str] = "pages/procedure/procedure.html"
    hint = _("A new version is submitted for approval and approved like a release. A version in effect never changes.")

    created = cell(stamp, "created_at", _("created"), "created_at")
    since = cell(stamp, "in_effect_at", _("effective since"), "in_effect_at")

    @admin.display(description=_("applies to"))
    def followed(self, row: Procedure) -> str:
        """Return the applications that a further procedure names; the organisation's is that of all others."""
        if row.key:
            return listed(row.content.get("applications", ()))
        return _t("all applications without a procedure of their own")

    def extra(self, request: HttpRequest, row: Model) -> dict[str, Any]:
        """Add the document and its approval requests."""
        assert isinstance(row, Procedure)
        content = row.document
        return {
            "name": content.name.label(language()),
            "writes": rights_of(request).may("create_procedure"),
            "sections": [Section(key, str(words), lines_of(key, getattr(content, key))) for key, words in SECTIONS],
            "approval_requests": row.approval_requests.select_related("environment")[:10],
        }
