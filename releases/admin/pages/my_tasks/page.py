"""My tasks, the admin's first page: the reader's open tasks, alarms, deployed versions, and the next windows."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from audit.clock import now
from audit.models import LedgerHead
from environments import access
from environments.admin.rights import rights_of, shown_to
from environments.models import Account
from releases.admin.components.formatting import new_button, show
from releases.admin.pages.calendar.page import all_entries
from releases.admin.pages.deployment.page import active_deployments
from releases.admin.pages.my_tasks.environments import environment_overview
from releases.admin.pages.my_tasks.tasks import nothing_to_do, pending_tasks
from releases.models import Deployment, Procedure, Release, Rollback

WINDOWS = 2


def first_steps(shown: dict[str, Any], *, under_way: bool) -> list[tuple[str, str, bool]]:
    """Return (what, link name, done) of the first steps of an empty system; empty once a release is possible.

    `shown` is the board, which has read the applications and the deployed versions; `under_way`: whether a release is.
    """
    active = Procedure.objects.filter(state="in_effect").exists()
    planned = under_way or Release.objects.exclude(state="imported").exists()
    steps = [
        (_("A procedure is in effect"), "releases_procedure", active),
        (_("An application is entered"), "environments_application", bool(shown["rows"])),
        (_("The deployed version of each target is registered"), "environments_deploymenttarget", shown["registered"]),
        (_("A release is planned"), "releases_release", planned),
    ]
    return (
        []
        if all(done for _what, _model, done in steps)
        else [(what, f"admin:{model}_changelist", done) for what, model, done in steps]
    )


def my_tasks(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the first page; its content depends on the reader's rights."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    account = request.user
    if not isinstance(account, Account) or not account.is_staff:
        return redirect("account_login")
    rights, moment = rights_of(request), now()
    if not rights.may("read"):
        words, ask = access.undecided(account) or nothing_to_do(rights), access.holders_based_on("administrator")
        return show(request, "pages/my_tasks/no_role.html", _("My tasks"), words=words, ask=ask)
    alarms = list(
        shown_to(request, Rollback.objects.exclude(state__in=[*Rollback.ENDS, "reporting"]))
        .select_related("deployment__release__application", "deployment__environment")
        .order_by("-raised_at")[:20]
    )
    stuck = list(
        shown_to(
            request, Deployment.objects.filter(state__in=["awaiting_decision", "failed", "stopped", "rollback_failed"])
        ).select_related("release__application", "environment")[:20]
    )
    missed = list(
        shown_to(
            request, Deployment.objects.filter(state="missed", release__state__in=Release.UNDER_WAY)
        ).select_related("release__application", "environment")[:10]
    )
    under_way = list(
        shown_to(request, Release.objects.filter(state__in=Release.UNDER_WAY))
        .select_related("application", "author")
        .order_by("scheduled_start_at", "-pk")[:20]
    )
    shown = environment_overview(moment, rights.applications)
    return show(
        request,
        "pages/my_tasks/my_tasks.html",
        _("My tasks"),
        tasks=pending_tasks(rights, account, moment),
        nothing=nothing_to_do(rights),
        alarms=alarms,
        stuck=stuck,
        missed=missed,
        board=shown,
        deployments=list(shown_to(request, active_deployments())[:20]),
        ahead=[(e, found[:3]) for e, found in all_entries(shown["environments"], moment, WINDOWS) if found],
        under_way=under_way,
        own=rights.applications,
        first_steps=first_steps(shown, under_way=bool(under_way)),
        plan=new_button(rights, Release),
        head=LedgerHead.objects.first() if rights.may("audit") else None,
    )
