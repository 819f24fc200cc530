"""My tasks, the admin's first page: the reader's open tasks, alarms, deployed versions, and the next windows."""

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from audit.changes import ANYTHING
from audit.clock import now
from audit.models import LedgerHead
from environments import access
from environments.admin.rights import rights_of, shown_to
from environments.models import Account
from releases.admin.components.formatting import new_button, show
from releases.admin.components.live import updates
from releases.admin.pages.calendar.page import all_entries
from releases.admin.pages.deployment.page import active_deployments
from releases.admin.pages.first_steps.page import unfinished
from releases.admin.pages.my_tasks.environments import environment_overview
from releases.admin.pages.my_tasks.tasks import nothing_to_do, pending_tasks
from releases.models import Deployment, Release, Rollback

WINDOWS = 2


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
    shown, tasks = environment_overview(moment, rights.applications), pending_tasks(rights, account, moment)
    return show(
        request,
        "pages/my_tasks/my_tasks.html",
        _("My tasks"),
        updates=updates(account, ANYTHING),
        tasks=tasks,
        signs=sum(task.signs for task in tasks) > 1,
        nothing=nothing_to_do(rights),
        alarms=alarms,
        stuck=stuck,
        missed=missed,
        board=shown,
        deployments=list(shown_to(request, active_deployments())[:20]),
        ahead=[(e, found[:3]) for e, found in all_entries(shown["environments"], moment, WINDOWS) if found],
        under_way=under_way,
        own=rights.applications,
        first_steps=unfinished(),
        plan=new_button(rights, Release),
        head=LedgerHead.objects.first() if rights.may("audit") else None,
    )
