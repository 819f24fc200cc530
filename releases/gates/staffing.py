"""Staffing: rules of a procedure that the present people cannot meet (approval rules, final check, checklist).

Read before roles are revoked, before a procedure is submitted, and by previews. Read only.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from itertools import product
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from audit.operation import Operation
from audit.refusals import GateNotPassed
from environments import access
from environments.models import AccessGrant, Account, Application, Environment
from environments.models.role import role_names
from environments.roles import ALWAYS, DECIDING, PERMISSION_LABELS, ROLE_PERMISSIONS
from environments.targets.words import gettext as _
from releases.gates.quorum import Rule, empty
from releases.models import ApprovalRequest, Procedure
from releases.procedures.document import Procedure as Content
from releases.procedures.values import TIERLESS

FINAL_CHECK, CHECKLIST = "final_check", "checklist"
UNMET = "procedure:report_overdue"


@dataclass(frozen=True)
class Shortfall:
    """The shortfall of a rule: so many persons of a role, for a subject, in an environment (its key; empty: in all),
    for an application (its key; empty: for one without people of its own).

    binding: it is an approval rule without which nothing of a protected environment, or of all, can be approved.
    """

    subject: str
    environment: str
    role: str
    missing: int
    binding: bool
    application: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """The rule that lacks it."""
        return self.subject, self.environment, self.application

    def __str__(self) -> str:
        subjects = dict(ApprovalRequest.Subject.choices) | {FINAL_CHECK: _("Final check"), CHECKLIST: _("Checklist")}
        roles = role_names() | {CHECKLIST: str(PERMISSION_LABELS["sign_checklist"])}
        place = Environment.objects.filter(slug=self.environment).first()
        application = Application.objects.filter(slug=self.application).first()
        where = place or _("all environments")
        words = {
            "subject": subjects.get(self.subject, self.subject),
            "where": f"{application} · {where}" if application is not None else where,
            "role": roles.get(self.role, self.role),
            "missing": self.missing,
        }
        return _("%(subject)s (%(where)s): %(role)s, %(missing)d more needed") % words


def shortfalls(
    draft: Content | None = None,
    *,
    without: Collection[int] = (),
    at: datetime | None = None,
    absences: Iterable[tuple[Account, Account]] = (),
) -> list[Shortfall]:
    """Return what the rules of the procedures in effect lack at a time (None: now), each person counted once, over all
    stages; those of a draft in place of the version in effect that it would replace.

    without: grants that do not count; absences: (absent, delegate) beside those in effect. The exclusions of one
    release and the roles of its team do not count here.
    """
    contents = {row.key: row.document for row in Procedure.objects.filter(state="in_effect")}
    contents |= {draft.key: draft} if draft is not None else {}
    elsewhere = {key for content in contents.values() for key in content.applications}
    absences, found = list(absences), list[Shortfall]()
    for content in contents.values():
        followers = (
            Application.objects.filter(slug__in=content.applications)
            if content.key
            else Application.objects.exclude(slug__in=elsewhere)
        )
        found += _of_one(content, _told_apart(followers, own=bool(content.key)), without, at, absences)
    return found


def _of_one(
    content: Content,
    applications: list[Application | None],
    without: Collection[int],
    at: datetime | None,
    absences: list[tuple[Account, Account]],
) -> list[Shortfall]:
    found: list[Shortfall] = []
    shipped = {role.key: role.shipped for role in content.roles}
    signs = [key for key, based_on in shipped.items() if "sign_checklist" in ROLE_PERMISSIONS[based_on]]
    deciding = [key for key, based_on in shipped.items() if based_on in DECIDING or key in content.named_permissions()]
    # Without a place last: what is asked of all environments.
    environments = list(Environment.objects.all())
    for place, application in product((*environments, None), applications):
        key = application.pk if application is not None else None
        counted = partial(access.roles_by_person, named=[*shipped, *ALWAYS], deciding=deciding)
        known = partial(counted, at=at, without=without, absences=absences, application=key)
        lacks = partial(_lacks, place, application)
        persons = [(key, frozenset(held)) for key, held in known(place).items()]
        # A decision about the procedure needs a role in all environments.
        all_over = known(place, everywhere=place is None)
        places = [place] if place is not None else []
        subjects = [s for s in ApprovalRequest.Subject.values if (s in TIERLESS) == (place is None)]
        if place is None and application is not None:
            subjects = ["process"]  # the procedure is a matter of the organisation
        if all(rule.subject != "process" for rule in content.approval_rules):
            subjects = [s for s in subjects if s != "process"]  # it has the rules of the procedure
        for subject in subjects:
            rules = [
                Rule(r.stage, r.role, r.number) for r in content.approvals_for(subject, *places) if r.role in shipped
            ]
            theirs = all_over
            if subject == "emergency_stop_lift":
                theirs = _common(known(one) for one in environments if one.tier == Environment.Tier.PRODUCTION)
            deciders = [(key, frozenset(held)) for key, held in theirs.items()]
            found += lacks(subject, rules, deciders, binding=place is None or place.protected)
        if place is not None and place.protected:
            signers = [Rule(1, role, 1) for role in content.final_check.signers]
            found += lacks(FINAL_CHECK, signers, persons, binding=False)
            ticks = [(key, held | {CHECKLIST}) for key, held in persons if held & set(signs)]
            found += lacks(CHECKLIST, [Rule(1, CHECKLIST, 1)], ticks, binding=False)
    return found


def _common(held: Iterable[dict[str, set[str]]]) -> dict[str, set[str]]:
    """Return the roles that persons hold in each of several environments."""
    first, *others = held
    return {person: roles.intersection(*(there.get(person, ()) for there in others)) for person, roles in first.items()}


def _told_apart(applications: QuerySet[Application], *, own: bool) -> list[Application | None]:
    """Return one of some applications for each set for which the same grants count. Those that no grant names: None,
    which is also what belongs to no application; where they have a procedure of their own, the first of them.
    """
    limited = AccessGrant.objects.lasting().filter(account__kind=Account.Kind.PERSON)
    named = set(limited.exclude(application=None).values_list("application", flat=True))
    groups = set(limited.exclude(application_group="").values_list("application_group", flat=True))
    found: list[Application | None] = [*applications.filter(pk__in=named)]
    grouped = applications.filter(group__in=groups).exclude(pk__in=named)
    found += grouped.order_by("group", "pk").distinct("group")
    others = applications.exclude(pk__in=named).exclude(group__in=groups).order_by("pk")
    return [*(others[:1] if own else [None]), *found]


def _lacks(
    place: Environment | None,
    application: Application | None,
    subject: str,
    rules: list[Rule],
    persons: list[tuple[str, frozenset[str]]],
    *,
    binding: bool,
) -> list[Shortfall]:
    slug = place.slug if place is not None else ""
    named = application.slug if application is not None else ""
    lacking = sorted(empty(rules, persons).items())
    return [Shortfall(subject, slug, role, missing, binding, named) for role, missing in lacking]


def worse(before: Iterable[Shortfall], after: Iterable[Shortfall]) -> list[Shortfall]:
    """Return what rules lack afterwards that they did not lack before."""
    lacked = {(*s.key, s.role): s.missing for s in before}
    return [s for s in after if s.missing > lacked.get((*s.key, s.role), 0)]


def of_departure(op: Operation, grants: Collection[int], refuses: bool) -> None:
    """Refuse to end grants without which an approval rule could not be met any more; notify of other unmet rules.
    Two operations at once are counted one after the other.
    """
    procedure = Procedure.objects.of(None)
    if procedure is None:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ringi_staffing'))")
    before = shortfalls()
    found = worse(before, shortfalls(without=grants))
    unmet = {s.key for s in before}
    ruin = [s for s in found if s.binding and s.key not in unmet]
    if ruin and refuses:
        raise GateNotPassed(
            _(
                "Without this role the rules of the release procedure can no longer be met. Grant the role to "
                "another person first."
            ),
            *(str(s) for s in ruin),
        )
    notify_unmet(op, procedure, found)


def notify_unmet(op: Operation, procedure: Procedure, found: list[Shortfall]) -> None:
    """Write the unmet rules into an operation, and notify the people who grant roles and those who plan."""
    if found:
        entries = [asdict(s) for s in found]
        op.details["unmet"] = entries
        op.add_event(UNMET, procedure, unmet=entries)


def words_of(entries: Iterable[dict[str, Any]]) -> str:
    """Return the unmet rules that an operation has written, one rule a line."""
    return "\n".join(str(Shortfall(**entry)) for entry in entries)
