"""Moving the pointer of what is in force, inside an open door; and deployment:verify, the second person's word."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import GateClosed, Invalid, NotYou, WrongState
from environments import access
from environments.models import Account, ConfigurationVersion
from releases.actions.release.steps import manual_checks
from releases.actions.watch.begin import begin
from releases.models import Deployment, InForce, Release, Rollback, Step, Watch


def enter_force(deployment: Deployment, how: str, measured: dict[str, str] | None = None) -> InForce:
    """Point at this deployment's release, with the digests that were measured last, by its checks if by nobody since."""
    measured = measured or deployment.measured.get("verify", {})
    pointer, _made = InForce.objects.update_or_create(
        application=deployment.application,
        environment=deployment.environment,
        defaults={
            "release": deployment.release,
            "configuration_id": deployment.release.configurations.get(deployment.environment.slug),
            "code": measured.get("code", ""),
            "configuration_digest": measured.get("configuration", ""),
            "data": measured.get("data", ""),
            "unknown": False,
            "since": now(),
            "how": how,
        },
    )
    return pointer


def completed(release: Release, deployment: Deployment) -> None:
    """Complete a release whose run in production is watched no longer, inside an open door, and publish its documents."""
    if deployment.environment.tier != "production" or release.state != "monitoring":
        return  # no other run moves a release
    release.complete()
    for document in release.documents.filter(state="ready"):
        document.publish()
        document.save()


def taken_back(release: Release) -> None:
    """Let a release be what was taken back, inside an open door, and retract what it had published."""
    release.roll_back()
    for document in release.documents.filter(state="published"):
        document.retract()
        document.save()


def return_to_base(deployment: Deployment, measured: dict[str, str]) -> InForce:
    """Point at what was in force before this deployment, as measured after the way back."""
    base = deployment.base.get("in_force", {})
    pointer, _made = InForce.objects.update_or_create(
        application=deployment.application,
        environment=deployment.environment,
        defaults={
            "release": Release.objects.filter(pk=base.get("release")).first(),
            "configuration": ConfigurationVersion.objects.filter(pk=base.get("configuration")).first(),
            "code": measured.get("code", ""),
            "configuration_digest": measured.get("configuration", ""),
            "data": measured.get("data", ""),
            "unknown": False,
            "since": now(),
            "how": "restored",
        },
    )
    _resume_watches(deployment)
    return pointer


def _resume_watches(deployment: Deployment) -> None:
    moment = now()
    paused = Watch.objects.filter(
        Q(deployment__state="monitoring") | Q(rollback__state="monitoring"),
        deployment__application=deployment.application,
        deployment__environment=deployment.environment,
        ended_at=None,
        paused_at__isnull=False,
        verdict="",  # whose time is over waits for a person and looks no more
    )
    for watch in paused:
        watch.resume(moment)
        watch.save()


def begin_watch(deployment: Deployment, rollback: Rollback | None = None) -> Watch:
    """Begin the watch that the procedure asks for, inside an open door."""
    content = deployment.release.procedure
    assert content is not None
    return begin(deployment, content.document, rollback=rollback)


def verify(deployment_id: int, *, confirmed: tuple[str, ...] = (), reason: str = "") -> Deployment:
    """Say, as another person than the starter, that the run is as it should be; the watch begins.

    confirmed: keys of the checks that only a person can make; each one must be there. What is watched there until now is
    no longer what runs: those watches are cut short, with all that their end brings about.
    """
    peek = Deployment.objects.filter(pk=deployment_id).values("release", "application", "environment").first()
    if peek is None:
        raise Invalid(_("There is no such deployment."))
    there = {"application": peek["application"], "environment": peek["environment"]}
    earlier = list(Deployment.objects.filter(**there, state="monitoring").values_list("pk", "release"))
    runs = Deployment.objects.filter(**there)
    restored = list(Rollback.objects.filter(deployment__in=runs, state="monitoring").values_list("pk", flat=True))
    targets: list[tuple[Any, int]] = [(Deployment, deployment_id), (Release, peek["release"])]
    targets += [(Rollback, pk) for pk in restored]
    for pk, release_pk in earlier:
        targets += [(Deployment, pk), (Release, release_pk)]
    with change("deployment:verify", *targets, reason=reason, sign=True) as act:
        deployment, release = act.get(Deployment, deployment_id), act.get(Release, peek["release"])
        account = access.require("verify", deployment.environment)
        if why := not_yours(account, deployment):
            raise NotYou(why)
        if deployment.state != "verifying":
            raise WrongState(
                _("This cannot be done while it is “%(state)s”.") % {"state": deployment.get_state_display()}
            )
        open_steps = deployment.steps.filter(phase__in=["forward", "verify"]).exclude(state__in=Step.FINISHED)
        if open_steps.exists():
            raise WrongState(_("The checks are not finished yet."))
        content = release.procedure
        assert content is not None
        owed = [c for c in manual_checks(content.document, "deployment") if c.required and c.key not in confirmed]
        if owed:
            language = get_language() or "ja"
            raise Invalid(_("Not confirmed: %(items)s") % {"items": ", ".join(c.label(language) for c in owed)})
        if not deployment.measured.get("verify"):
            raise GateClosed(_("The target was not measured after the last check; go back or settle."))
        act.signature("verify", deployment.plan_digest)
        act.details["confirmed"] = list(confirmed)
        deployment.watch()
        deployment.verified_by = account
        enter_force(deployment, "verified")
        begin_watch(deployment)
        production = deployment.environment.tier == "production"  # no other run moves a release
        if production and release.state == "releasing":
            release.watch()
        for pk, release_pk in earlier:
            cut = act.get(Deployment, pk)
            cut.cut_short()
            cut.ended_at = now()
            act.tell_also("deployment:succeed", cut)
            completed(act.get(Release, release_pk), cut)
        for pk in restored:
            act.get(Rollback, pk).report()
        over = Q(deployment__in=[pk for pk, _release in earlier]) | Q(rollback__in=restored)
        for watch in Watch.objects.filter(over, ended_at=None):
            watch.ended_at, watch.verdict, watch.next_at = now(), "cut_short", None
            watch.save()
    return deployment


def not_yours(account: Account, deployment: Deployment) -> str:
    """Return why a person may not verify a run; empty when he may."""
    if deployment.was_started_by(account):
        return _("You have scheduled this run; another person verifies it.")
    return ""
