"""procedure:load and procedure:put_into_effect: the first version by the command, every later one by approval."""

from collections.abc import Collection
from datetime import time
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from audit.actor import current
from audit.clock import now
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from environments import access, calendar
from environments.language import listed
from environments.models import AccessGrant, AccessRule, Application, ChangeFreeze, ChangeWindow, Environment
from releases.gates import staffing
from releases.models import ApprovalRequest, Procedure, Release
from releases.notifications.templates.events import notification_event
from releases.operations.notification_rule.apply_procedure import apply_notification_settings
from releases.operations.procedure import further
from releases.operations.procedure.apply_freezes import apply_freezes
from releases.operations.procedure.apply_roles import apply_roles, ending_roles, plan_roles, unconfirmed_by
from releases.operations.release.end_approval import withdraw_open
from releases.operations.release.request_approval import request_approval
from releases.procedures import parts
from releases.procedures.document import Procedure as Content
from releases.procedures.ended import ended_rules
from releases.procedures.load import digest
from releases.procedures.origin import marked
from releases.queries import trigger_replay
from releases.queries.procedure_grants import begin_to_count


def load(content: Content, *, reason: str, writers: Collection[int] = ()) -> Procedure:
    """Store a version of the procedure as a draft; the same version with other content is refused. writers: keys of the
    accounts that wrote it, beside the author; a command has to name them. Who wrote in a draft since the version in
    effect is one of them, for a person may go on from it.

    A value that differs from the version in effect is marked as not of the written procedure, see procedures/origin.py.
    Raises InvalidInput also for a notification rule of an event that Ringi does not know, which would notify no one.
    """
    if unknown := [rule.event for rule in content.notification_rules if notification_event(rule.event) is None]:
        text = _("`messages` names events that Ringi does not know: %(events)s.")
        raise InvalidInput(text % {"events": listed(unknown)})
    organisation = Procedure.objects.of(None)
    active = Procedure.objects.filter(state="in_effect", key=content.key).first() or organisation
    if active is not None:
        content = marked(content, active.document)
    if content.key and (faults := further.faults_of_further(content, organisation)):
        raise InvalidInput(*faults)
    existing = Procedure.objects.filter(key=content.key, version=content.version).first()
    if existing is not None:
        if existing.digest == digest(content):
            if not set(writers) <= {existing.author_id, *existing.writers}:
                text = _("Version %(version)s already exists with other authors. Give the version another number.")
                raise InvalidInput(text % {"version": content.version})
            return existing
        text = _("Version %(version)s already exists with different content.")
        raise InvalidInput(text % {"version": content.version})
    if faults := ended_rules(content, now(), active.document if active is not None else None):
        raise InvalidInput(*faults)
    with operation("procedure:load", reason=reason) as op:
        author = None if current().kind == "command" else access.require("create_procedure")
        if author is None and active is not None and not writers:
            raise InvalidInput(_("Name the accounts of those who wrote the change: they do not approve it."))
        drafts_since = Procedure.objects.filter(key=content.key)
        if active is not None and active.key == content.key:
            drafts_since = drafts_since.filter(created_at__gt=active.created_at)
        earlier = drafts_since.values_list("author", "writers")
        wrote = {*writers, *(pk for one, others in earlier for pk in (one, *others))} - {None}
        procedure = Procedure.objects.create(
            key=content.key,
            version=content.version,
            content=content.model_dump(mode="json"),
            digest=digest(content),
            writers=sorted(wrote - {author.pk if author is not None else None}),
            reason=reason,
            author=author,
        )
        plan_roles(content)
        op.about(procedure, digest=procedure.digest)
    return procedure


def put_first_into_effect(procedure_id: int) -> Procedure:
    """Put the first procedure of an empty system into effect: the only time without approval, as its event says."""
    if Procedure.objects.get(pk=procedure_id).state == "draft":
        with operation(
            "procedure:submit", (Procedure, procedure_id), reason="first procedure of an empty system"
        ) as op:
            _only_first()
            op.get(Procedure).submit()
    with operation(
        "procedure:put_into_effect", (Procedure, procedure_id), reason="first procedure of an empty system"
    ) as op:
        _only_first()
        procedure = op.get(Procedure)
        put_into_effect(procedure)
        op.details["without_approval"] = True
    return procedure


def first_sentence() -> str:
    """Return how an installation without a procedure gets one, which no page can do."""
    return _(
        "No release procedure is in effect. On the server, manage.py procedure load FOLDER --put-into-effect puts "
        "the first one into effect."
    )


def _only_first() -> None:
    if current().kind != "command" or Procedure.objects.filter(state__in=["in_effect", "retired"]).exists():
        raise GateNotPassed(_("Only the first release procedure of an empty system can take effect without approval."))


def submit(procedure_id: int, *, reason: str, moved: tuple[int, ...] = ()) -> ApprovalRequest:
    """Request that a draft is put into effect, under the rules of the organisation's procedure in effect.

    moved: the open releases that will follow the new version, which invalidates their approval; every other one stays
    under the version in which its scope was locked, for the reason given. Both lists are part of what is approved, and
    so is, where measured triggers change, what they would have done in the last monitoring periods.
    """
    replayed = replayed_for(Procedure.objects.get(pk=procedure_id))
    with operation("procedure:submit", (Procedure, procedure_id), reason=reason) as op:
        requester = access.require("create_procedure")
        procedure = op.get(Procedure)
        procedure.submit()
        op.require_reason()
        organisation, content_then = Procedure.objects.of(None), procedure.document
        if organisation is None:
            raise NotPossible(first_sentence())
        candidates = {row.pk: row for row in further.open_releases(procedure)}
        kept = [row for pk, row in candidates.items() if pk not in moved]
        ending = ending_roles(content_then, kept)
        if faults := [*environment_faults(content_then), *further.faults(content_then, organisation), *ending]:
            raise InvalidInput(*faults)
        unmet = staffing.worse(staffing.shortfalls(), staffing.shortfalls(content_then))
        if ruin := [s for s in unmet if s.binding]:
            text = _(
                "The available people cannot meet these rules. Grant the roles to more people first, or "
                "require fewer people."
            )
            raise GateNotPassed(text, *(str(s) for s in ruin))
        if strange := sorted(set(moved) - candidates.keys()):
            raise InvalidInput(_("These releases are not under way: %(keys)s") % {"keys": listed(map(str, strange))})
        rules = organisation.document.rules_for("procedure")
        if not rules:
            raise GateNotPassed(_("The release procedure has no approval rule for this, so no approval is possible."))
        content = {
            "base": in_effect(procedure.key),
            "version": procedure.version,
            "digest": procedure.digest,
            "moved": [[pk, str(row)] for pk, row in candidates.items() if pk in moved],
            "kept": [[row.pk, str(row)] for row in kept],
            "reason": reason,
        }
        if procedure.key:
            content |= {
                "procedure": procedure.key,
                "applications": list(content_then.applications),
                "leaving": [row.slug for row in further.leaving(content_then)],
            }
        if grants := begin_to_count(content_then):
            content["grants"] = grants
        if replayed is not None:
            content["replay"] = replayed
        approval_request = request_approval("procedure", content, rules, requester, procedure=procedure)
        op.about(procedure, approval_request=approval_request.pk)
        op.notify_as("approval:request")
        staffing.notify_unmet(op, procedure, unmet)
    return approval_request


def replayed_for(procedure: Procedure) -> dict[str, Any] | None:
    """Return which measured triggers a draft changes and what that would have done; None when it changes none."""
    active = Procedure.objects.filter(state="in_effect", key=procedure.key).first()
    if active is None:
        return None
    content = procedure.document
    differ = trigger_replay.changed(active.document, content)
    periods = trigger_replay.last_monitoring_periods(further.followers(content)) if differ else []
    return {"triggers": differ, "monitoring_periods": trigger_replay.report(content, periods)} if differ else None


def in_effect(key: str = "") -> dict[str, str]:
    """Return version and digest of the procedure in effect, as a request for a new one names them: the organisation's
    before the first version of a further procedure.
    """
    active = Procedure.objects.filter(state="in_effect", key=key).first()
    active = active or Procedure.objects.get(state="in_effect", key="")
    return {"version": active.version, "digest": active.digest}


def rivals(granted: ApprovalRequest, procedure: Procedure) -> QuerySet[ApprovalRequest]:
    """Return the other open requests that end when one is granted: those for versions of the same procedure, and all
    when the organisation's procedure changes, whose rules they were made under.
    """
    found = ApprovalRequest.objects.filter(procedure__isnull=False, state="in_review").exclude(pk=granted.pk)
    return found.filter(procedure__key=procedure.key) if procedure.key else found


def targets_of(procedure: Procedure, approval_request: ApprovalRequest) -> list[tuple[type, int]]:
    """Return the rows that putting it into effect writes: environments or applications, the releases that it takes
    over, grants, freezes, the version that it replaces, and its rivals.
    """
    content = procedure.document
    found: list[tuple[type, int]] = [(Release, pk) for pk, _name in approval_request.document.get("moved", [])]
    found += [(AccessGrant, pk) for pk in unconfirmed_by(content)]
    own = ChangeFreeze.objects.in_effect().filter(from_procedure=True)
    found += [(ChangeFreeze, pk) for pk in own.values_list("pk", flat=True)]
    found += [(Environment, pk) for pk in Environment.objects.values_list("pk", flat=True)]
    active = Procedure.objects.filter(state="in_effect", key=procedure.key)
    found += [(Procedure, pk) for pk in active.values_list("pk", flat=True)]
    if procedure.key:
        followed = further.followers(content) | further.leaving(content)
        found += [(Application, pk) for pk in followed.values_list("pk", flat=True)]
    for other, pk in rivals(approval_request, procedure).values_list("pk", "procedure"):
        found += [(ApprovalRequest, other), (Procedure, pk)]
    return found


def end_other_requests(granted: ApprovalRequest) -> None:
    """Send back the requests made under the rules that have just been replaced, inside an open operation."""
    assert granted.procedure is not None
    for other in rivals(granted, granted.procedure).select_for_update(no_key=True, of=("self",)):
        assert other.procedure is not None
        other.invalidate()
        other.invalidated_by, other.ended_at = "base", now()
        other.save()
        if other.procedure.state == Procedure.State.IN_REVIEW:  # not one whose return was requested
            other.procedure.send_back()
            other.procedure.save()


def withdraw_request(procedure_id: int, *, reason: str) -> Procedure:
    """引戻し: withdraw the request for a new version; it is a draft again."""
    with operation("procedure:withdraw_request", (Procedure, procedure_id), reason=reason) as op:
        access.require("create_procedure")
        procedure = op.get(Procedure)
        procedure.send_back()
        withdraw_open(procedure=procedure)
    return procedure


def discard(procedure_id: int, *, reason: str) -> Procedure:
    """Discard a draft."""
    with operation("procedure:discard", (Procedure, procedure_id), reason=reason) as op:
        access.require("create_procedure")
        procedure = op.get(Procedure)
        if procedure.state != "draft":
            raise NotPossible(_("Only a draft can be discarded; send it back first."))
        procedure.discard()
    return procedure


def environment_faults(content: Content) -> list[str]:
    """Return why a procedure does not fit the existing environments.

    What is deployed, and what was approved, depends on which there are, on their tiers, their protection, and the order
    in which a release goes through them.
    """
    there = list(Environment.objects.order_by("order"))
    named = {row.key: row for row in content.environments}
    faults = [_("The environment “%(name)s” is missing.") % {"name": e} for e in there if e.slug not in named]
    faults += [
        _("The tier and the protection of the environment “%(name)s” cannot be changed.") % {"name": place}
        for place in there
        if (row := named.get(place.slug)) and (row.tier, row.protected) != (place.tier, place.protected)
    ]
    orders = [named[place.slug].order for place in there if place.slug in named]
    if orders != sorted(orders):
        faults.append(
            _("The order of the existing environments cannot be changed. A new environment may be added between them.")
        )
    return faults


def _environments(content: Content, *, restores: bool) -> list[tuple[parts.Environment, Environment]]:
    """Create or update the environments that a procedure names, and return them. restores: it is an earlier version,
    and those that only a later one named stay, after the others.
    """
    if not restores and (faults := environment_faults(content)):
        raise InvalidInput(*faults)
    there = {place.slug: place for place in Environment.objects.select_for_update(no_key=True)}
    orders = {row.key: row.order for row in content.environments}
    last = max([*orders.values(), *(place.order for place in there.values())])
    later = sorted(there.keys() - orders.keys(), key=lambda slug: there[slug].order)
    orders |= {slug: max(orders.values()) + number for number, slug in enumerate(later, 1)}
    for number, place in enumerate(there.values(), 1):
        # Free the places first: no two environments may have the same place in the order, not even for a moment.
        if place.order != orders[place.slug]:
            place.order = last + len(there) + number
            place.save()
    for slug in later:
        if there[slug].order != orders[slug]:
            there[slug].order = orders[slug]
            there[slug].save()
    found = []
    for row in content.environments:
        place = there.get(row.key) or Environment(slug=row.key)
        values = {
            "name_ja": row.name_ja,
            "name_en": row.name_en,
            "purpose_ja": row.ja,
            "purpose_en": row.en,
            "tier": row.tier,
            "order": row.order,
            "protected": row.protected,
            "zone": row.zone,
        }
        if place.pk is None or any(getattr(place, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(place, name, value)
            place.save()
        found.append((row, place))
    return found


def require_roles_of_kept(procedure: Procedure, moved: Collection[int]) -> None:
    """Raise GateNotPassed where releases whose scope was locked since the submission would stay under a version whose
    roles end. moved: the releases that are taken over.
    """
    kept = [row for row in further.open_releases(procedure) if row.pk not in moved]
    if ending := ending_roles(procedure.document, kept):
        raise GateNotPassed(*ending)


def put_into_effect(procedure: Procedure) -> None:
    """Retire the version in effect and replace it by this one, inside an open operation; create what it names."""
    for earlier in Procedure.objects.select_for_update(no_key=True).filter(state="in_effect", key=procedure.key):
        earlier.retire()
        earlier.save()
    restores = procedure.state == Procedure.State.RETIRED
    procedure.restore() if restores else procedure.put_into_effect()
    procedure.in_effect_at = now()
    procedure.save()
    content = procedure.document
    if procedure.key:
        further.apply_to_applications(content)
        _apply_windows(content)
        apply_roles(Procedure.objects.get(state="in_effect", key="").document)
        return
    laid = _environments(content, restores=restores)
    _apply_windows(content)
    apply_freezes(content)
    apply_roles(content)
    _apply_access(content, laid)
    apply_notification_settings(content)


def _apply_windows(content: Content) -> None:
    regular = content.schedule.regular
    if fault := calendar.country_fault(regular.country):
        raise InvalidInput(fault)
    own = ChangeWindow.objects.filter(from_procedure=True, procedure=content.key, cancelled_at=None)
    for window in own.exclude(rrule=regular.rrule, environment__protected=True):
        window.cancelled_at = now()
        window.save()
    for environment in Environment.objects.filter(protected=True):
        ChangeWindow.objects.update_or_create(
            environment=environment,
            application=None,
            from_procedure=True,
            procedure=content.key,
            rrule=regular.rrule,
            defaults={
                "name": regular.name.ja,
                "name_en": regular.name.en,
                "day_offset": regular.day_offset,
                "on_holiday": regular.on_holiday,
                "country": regular.country,
                "zone": regular.zone,
                "start": time.fromisoformat(regular.start),
                "length_minutes": regular.length_minutes,
                "in_effect_at": now(),
                "cancelled_at": None,
                "reason": content.version,
            },
        )


def _apply_access(content: Content, laid: list[tuple[parts.Environment, Environment]]) -> None:
    for row, environment in laid:
        for role in content.roles:
            level = content.level_of(role.key, row.key)
            AccessRule.objects.update_or_create(
                role_id=role.key,
                environment=environment,
                defaults={"level": level.key if level is not None else "none"},
            )
    named = Q(role__in=[role.key for role in content.roles], environment__in=[place for _row, place in laid])
    for rule in AccessRule.objects.exclude(named).exclude(level="none"):
        rule.level = "none"
        rule.save()
