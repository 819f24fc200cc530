"""deployment:request: a deployment of a release to an environment is requested."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput, NotPossible
from environments import access
from environments.models import DeploymentTarget, Environment
from releases.gates import ledger
from releases.models import Deployment, Release
from releases.operations.release.plan import active_procedure


def right_for(environment: Environment) -> str:
    """Return the permission that a request needs; in a protected environment, the one that scheduling needs."""
    return "schedule" if environment.protected else "request"


def request(release_id: int, *, environment_id: int, reason: str = "") -> Deployment:
    """Request a deployment without a scheduled start; refused where the release's state does not allow one."""
    with operation("deployment:request", (Release, release_id), (Environment, environment_id), reason=reason) as op:
        environment, release = op.get(Environment), op.get(Release)
        account = access.require(right_for(environment), environment)
        if release.kind != Release.Kind.EMERGENCY:
            ledger.require(environment)
        if release.state not in Release.MAY_RUN[environment.tier]:
            text = _("A release that is “%(state)s” cannot be deployed to %(environment)s.")
            raise NotPossible(text % {"state": release.get_state_display(), "environment": environment})
        if environment.tier == "production" and not release.bound_for_production:
            raise NotPossible(_("A pre-release cannot be deployed to production."))
        if not DeploymentTarget.objects.filter(application=release.application, environment=environment).exists():
            text = _("The application has no deployment target in %(environment)s.")
            raise InvalidInput(text % {"environment": environment})
        if environment.slug not in release.configurations:
            raise InvalidInput(_("No configuration chosen for: %(environments)s") % {"environments": environment})
        waiting = Deployment.objects.filter(
            release=release, environment=environment, state__in=["requested", "scheduled", "queued"]
        )
        if waiting.exists():
            raise NotPossible(_("A deployment of this release is already requested or scheduled in this environment."))
        deployment = Deployment.objects.create(
            release=release,
            application=release.application,
            environment=environment,
            procedure=release.procedure or active_procedure(release.application),
            process=release.process,
            requested_by=account,
        )
        op.about(deployment)
    return deployment
