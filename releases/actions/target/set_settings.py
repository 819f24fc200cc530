"""target:set_settings: where a target lies and how it is run, after it was made."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import GateClosed, Invalid
from environments import access
from environments.actions.target.settings import require_apart, require_sound
from environments.models import Target
from releases.actions.watch.set_sources import not_over
from releases.models import ConsentRound, Deployment, Release, Rollback

# What target:set_watch and target:set_hosts say.
OWN = ("watch", "private_networks", "http_hosts")


def set_settings(target_id: int, *, root: str, settings: dict[str, Any], reason: str) -> Target:
    """Say anew in which folder a target lives and by which commands; refused while a run there is booked, under way,
    watched or taken back, and while a consent is asked for or given: it was given to the commands as they are.

    settings: without what has acts of its own (OWN), which stays.
    """
    application = Target.objects.values_list("application_id", flat=True).get(pk=target_id)
    # Whoever submits one of them waits until this is done, and so does this for him.
    releases = Release.objects.filter(application_id=application).exclude(state__in=Release.ENDS)
    rows = [(Release, pk) for pk in releases.values_list("pk", flat=True)]
    with change("target:set_settings", (Target, target_id), *rows, reason=reason, sign=True) as act:
        access.require("configure_target")
        if not reason.strip():
            raise Invalid(_("Say why."))
        target = act.get(Target)
        kept = {name: target.settings[name] for name in OWN if name in target.settings}
        settings = {name: value for name, value in settings.items() if name not in OWN} | kept
        require_sound(settings)
        require_apart(root, settings, but=target.pk)
        place = {"application": target.application, "environment": target.environment}
        backs = Rollback.objects.filter(deployment__in=Deployment.objects.filter(**place))
        back = backs.exclude(state__in=[*Rollback.ENDS, "reporting"]).first()
        if run := not_over(target).first() or (back and back.deployment):
            raise GateClosed(_("%(run)s is not over; the target stays as it is until then.") % {"run": run})
        rounds = ConsentRound.objects.filter(release__application=target.application, environment=target.environment)
        if live := rounds.filter(state__in=ConsentRound.LIVE).select_related("release").first():
            raise GateClosed(
                _("Consent is asked for or given for %(release)s; amend it, then change the target.")
                % {"release": live.release}
            )
        target.root, target.settings = root, settings
    return target
