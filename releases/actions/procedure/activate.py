"""procedure:load and procedure:activate: the first one by the command, every later one by consent."""

from __future__ import annotations

from datetime import time

from django.utils.translation import gettext as _

from audit.actor import current
from audit.change import change
from audit.clock import now
from audit.refusals import GateClosed, Invalid
from environments import access
from environments.models import AccessRule, ChangeWindow, Environment
from releases.models import ConsentRound, Procedure
from releases.procedures.document import Procedure as Content
from releases.procedures.load import digest


def load(content: Content, *, reason: str) -> Procedure:
    """Store a version of the procedure as a draft; the same version with other content is refused."""
    existing = Procedure.objects.filter(version=content.version).first()
    if existing is not None:
        if existing.digest == digest(content):
            return existing
        raise Invalid(_("Version %(version)s exists with another content.") % {"version": content.version})
    with change("procedure:load", reason=reason) as act:
        author = None if current().kind == "command" else access.require("propose_procedure")
        procedure = Procedure.objects.create(
            version=content.version,
            content=content.model_dump(mode="json"),
            digest=digest(content),
            reason=reason,
            author=author,
        )
        act.about(procedure, digest=procedure.digest)
    return procedure


def activate_first(procedure_id: int) -> Procedure:
    """Activate the first procedure of an empty system: the one activation without consent, and its event says so."""
    if Procedure.objects.get(pk=procedure_id).state == "draft":
        with change("procedure:submit", (Procedure, procedure_id), reason="first procedure of an empty system") as act:
            _only_first()
            act.get(Procedure).submit()
    with change("procedure:activate", (Procedure, procedure_id), reason="first procedure of an empty system") as act:
        _only_first()
        procedure = act.get(Procedure)
        put_in_force(procedure)
        act.details["without_consent"] = True
    return procedure


def _only_first() -> None:
    if current().kind != "command" or Procedure.objects.filter(state__in=["active", "retired"]).exists():
        raise GateClosed(_("Only the first procedure of an empty system is activated without consent."))


def submit(procedure_id: int, *, reason: str) -> ConsentRound:
    """Apply for the activation of a draft under the rules of the active procedure."""
    with change("procedure:submit", (Procedure, procedure_id), reason=reason) as act:
        applicant = access.require("propose_procedure")
        procedure = act.get(Procedure)
        procedure.submit()
        active = Procedure.objects.get(state="active").document
        rules = [
            {"stage": rule.stage, "role": rule.role, "number": rule.number}
            for rule in active.approvals_for("procedure", "all")
        ]
        if not rules:
            raise GateClosed(_("The procedure has no approval rule for this; so nobody can consent."))
        round_ = ConsentRound.objects.create(
            subject="procedure",
            procedure=procedure,
            document={"version": procedure.version, "digest": procedure.digest},
            digest=procedure.digest,
            rules=rules,
            applicant=applicant,
        )
        act.about(procedure, round=round_.pk)
    return round_


def put_in_force(procedure: Procedure) -> None:
    """Retire the active procedure and activate this one, inside an open door; make what it names exist."""
    for earlier in Procedure.objects.select_for_update().filter(state="active"):
        earlier.retire()
        earlier.save()
    procedure.activate()
    procedure.activated_at = now()
    procedure.save()
    content = procedure.document
    for row in content.environments:
        environment, _made = Environment.objects.get_or_create(
            slug=row.key,
            defaults={
                "name_ja": row.name_ja,
                "name_en": row.name_en,
                "purpose_ja": row.ja,
                "purpose_en": row.en,
                "tier": row.tier,
                "order": row.order,
                "protected": row.protected,
                "zone": row.zone,
            },
        )
        for role in content.roles:
            level = content.level_of(role.key, row.key)
            AccessRule.objects.update_or_create(
                role=role.key,
                environment=environment,
                defaults={"level": level.key if level is not None else "none"},
            )
    regular = content.schedule.regular
    for rule in AccessRule.objects.exclude(role__in=[role.key for role in content.roles]):
        rule.level = "none"
        rule.save()
    for window in ChangeWindow.objects.exclude(rrule__in=["", regular.rrule]).filter(withdrawn_at=None):
        window.withdrawn_at = now()
        window.save()
    for environment in Environment.objects.filter(protected=True):
        ChangeWindow.objects.update_or_create(
            environment=environment,
            rrule=regular.rrule,
            defaults={
                "name": f"{regular.name.ja} / {regular.name.en}",
                "zone": regular.zone,
                "start": time.fromisoformat(regular.start),
                "length_minutes": regular.length_minutes,
                "opened_at": now(),
                "withdrawn_at": None,
                "reason": content.version,
            },
        )
