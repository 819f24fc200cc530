"""First steps: what an organisation and an application lack before a release reaches production, and who adds it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from environments import access
from environments.admin.rights import Rights, found_or_404, page, rights_of, shown_to
from environments.application_scope import within
from environments.language import listed
from environments.models import AccessGrant, Account, Application, ConfigurationVersion, DeploymentTarget, Environment
from releases.admin.components.formatting import Button, show
from releases.admin.operations import verb
from releases.admin.operations.availability import offered
from releases.admin.pages.deployment_process.page import LABELS
from releases.gates.staffing import shortfalls
from releases.models import Deployment, DeploymentProcess, Procedure, Release

# Most names that stand beside a step.
MOST = 5


@dataclass(frozen=True)
class FirstStep:
    """One step. says: what is there, or lacking; who: names of persons who may do it; link: where it is read."""

    title: str
    done: bool
    says: list[str] = field(default_factory=list)
    who: str = ""
    buttons: list[Button] = field(default_factory=list)
    link: str = ""


def unfinished() -> bool:
    """Tell whether no deployment was ever verified in a protected environment."""
    verified = Deployment.objects.filter(environment=OuterRef("pk"), state__in=Deployment.VERIFIED)
    return not Environment.objects.filter(Exists(verified), protected=True).exists()


@page
def first_steps(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Show the steps of the organisation, and of one application: the one asked for, else the newest."""
    rights, known = rights_of(request), shown_to(request, Application.objects.all())
    chosen = (
        found_or_404(request, Application.objects.all(), pk=pk) if pk is not None else known.order_by("-pk").first()
    )
    groups = [(_("Organisation"), of_organisation(rights)), *([(str(chosen), of(chosen, rights))] if chosen else [])]
    return show(
        request,
        "pages/first_steps/first_steps.html",
        _("First steps"),
        groups=groups if chosen else [*groups, (_("Application"), [_application_step(rights, None)])],
        others=[row for row in known.order_by("name")[:50] if row != chosen],
    )


def of_organisation(rights: Rights) -> list[FirstStep]:
    """Return the steps that all applications share."""
    held = AccessGrant.objects.in_effect().for_application(None).filter(role__key="administrator", environment=None)
    administrators = [str(account) for account in Account.objects.filter(grants__in=held).distinct().order_by("pk")]
    granted = within(AccessGrant.objects.lasting().filter(confirmed_at=None), rights.applications)
    waiting = [
        _("%(role)s: %(name)s has not enrolled yet.") % {"role": grant.role, "name": grant.account}
        if grant.account.must_enrol
        else _("%(role)s: a second administrator confirms the grant of %(name)s.")
        % {"role": grant.role, "name": grant.account}
        for grant in granted.select_related("account", "role").order_by("pk")[:20]
    ]
    procedure = Procedure.objects.of(None)
    seen = {"", *within(Application.objects.all(), rights.applications).values_list("slug", flat=True)}
    lacks = shortfalls()
    lacking = [str(one) for one in lacks if one.application in seen]
    create = _button(rights, "account:create")
    return [
        FirstStep(
            _("A second administrator"),
            len(administrators) > 1,
            [listed(administrators), _("Deciding roles need two administrators: one grants, the other confirms.")],
            _who([("manage_access", None)]),
            create,
        ),
        FirstStep(
            _("A release procedure in effect"),
            procedure is not None,
            [str(procedure)] if procedure is not None else [],
            _who([("create_procedure", None)]),
            _button(rights, "procedure:load"),
            reverse("admin:releases_procedure_changelist"),
        ),
        FirstStep(
            _("People for every rule of the procedure"),
            procedure is not None and not lacks,
            [*lacking, *waiting],
            _who([("manage_access", None)]),
            create,
            reverse("admin:environments_account_changelist"),
        ),
    ]


def of(application: Application, rights: Rights) -> list[FirstStep]:
    """Return the steps of one application."""
    about, places = rights.about(application), list(Environment.objects.order_by("order"))
    targets = set(DeploymentTarget.objects.filter(application=application).values_list("environment", flat=True))
    configured = set(ConfigurationVersion.objects.filter(application=application).values_list("environment", flat=True))
    process = DeploymentProcess.current(application.pk) or application.processes.order_by("-pk").first()
    releases = Release.objects.filter(application=application).exclude(state="imported").order_by("-pk")
    newest = releases.first()
    verified = Deployment.objects.filter(release__application=application, state__in=Deployment.VERIFIED)
    here = reverse("admin:environments_application_change", args=[application.pk])
    first, goal = (next((one for one in places if one.protected is kind), None) for kind in (False, True))
    return [
        _application_step(rights, application),
        _in_each(_("A deployment target in each environment"), places, targets, "target:create", application, about),
        _in_each(
            _("A configuration of each environment"), places, configured, "configuration:create", application, about
        ),
        FirstStep(
            _("A deployment process"),
            process is not None or verified.exists(),
            [
                f"{_('Version')} {process.number}: {process.get_state_display()}"
                if process is not None
                else _("Without one, the steps and checks of the release procedure apply.")
            ],
            _who([("create_process", None)], application),
            _templates(about, application),
            f"{here}#process",
        ),
        FirstStep(
            _("A first release"),
            newest is not None,
            [str(newest)] if newest is not None else [],
            _who([("plan", None)], application),
            _button(rights, "release:plan", application_id=application.pk),
            reverse("release", args=[newest.pk]) if newest is not None else "",
        ),
        *(_deployed(place, application, verified, newest) for place in (first, goal) if place is not None),
    ]


def _application_step(rights: Rights, application: Application | None) -> FirstStep:
    return FirstStep(
        _("An application with its repository"),
        application is not None,
        [application.repository] if application is not None else [],
        _who([("plan", None)]),
        _button(rights, "application:create"),
        reverse("admin:environments_application_change", args=[application.pk]) if application is not None else "",
    )


def _in_each(
    title: str, places: Iterable[Environment], there: set[int], key: str, application: Application, rights: Rights
) -> FirstStep:
    """Return a step that each environment needs: the missing ones by name, and the button for the first of them."""
    missing = [place for place in places if place.pk not in there]
    says = [_("Not yet: %(places)s") % {"places": listed(map(str, missing))}]
    known = verb(*key.split(":"))
    assert known is not None and known.makes is not None, key
    link = reverse(f"admin:{known.makes._meta.app_label}_{known.makes._meta.model_name}_changelist")
    if not missing:
        return FirstStep(title, True, link=link)
    buttons = _button(rights, key, application_id=application.pk, environment_id=missing[0].pk)
    asked = [(right, place) for right, place in known.asks(None) if place in (None, missing[0])]
    return FirstStep(title, False, says, _who(asked, application), buttons, link)


def _deployed(
    place: Environment, application: Application, verified: QuerySet[Deployment], newest: Release | None
) -> FirstStep:
    """Return the step of a verified deployment in an environment."""
    found = verified.filter(environment=place).order_by("-pk").first()
    link = reverse("deployment", args=[found.pk]) if found is not None else ""
    if found is None and newest is not None:
        link = reverse("release", args=[newest.pk])
    return FirstStep(
        _("A verified deployment in %(environment)s") % {"environment": place},
        found is not None,
        [str(found)] if found is not None else [],
        _who([("schedule", place)], application),
        link=link,
    )


def _who(asked: Iterable[tuple[str, Environment | None]], application: Application | None = None) -> str:
    """Return the names of persons who have one of the rights, for all applications or one."""
    pk = application.pk if application is not None else None
    found = [*dict.fromkeys(one for right, place in asked for one in access.holders_with(right, place, application=pk))]
    more = [_("%(n)d more") % {"n": len(found) - MOST}] if len(found) > MOST else []
    return listed([*map(str, found[:MOST]), *more]) if found else _("no one yet")


def _templates(rights: Rights, application: Application) -> list[Button]:
    """Return a button for each template of a deployment process."""
    return [
        replace(one, label=str(words))
        for name, words in LABELS.items()
        for one in _button(rights, "deployment_process:create", application, template=name)
    ]


def _button(rights: Rights, key: str, row: Application | None = None, **query: Any) -> list[Button]:
    """Return the button of a verb that the reader may use; its form is filled in and leads back here. Else none."""
    known = verb(*key.split(":"))
    assert known is not None, key
    if not offered(known, rights, row):
        return []
    address = known.url(row.pk if row is not None else None)
    if key != "release:plan":  # whose page has the next steps
        query["back"] = "first-steps"
    return [Button(str(known.label), f"{address}?{urlencode(query)}", key)]
