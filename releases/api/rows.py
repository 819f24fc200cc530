"""Look-up of the rows that a path or a body names, within the token's reach; a missing row has one message."""

from django.http import Http404
from django.utils.translation import gettext as _

from audit.refusals import InvalidInput
from environments.application_scope import within
from environments.language import listed
from environments.models import Application, DeploymentTarget, Environment
from releases.api.token import Caller
from releases.models import Deployment, Procedure, Release

ENDED_BADLY = ("rejected", "cancelled", "failed", "rolled_back")


def environment_named(caller: Caller, name: str) -> Environment:
    """Return an environment by its key, or by the key of a test environment that the procedure maps to one."""
    environment = Environment.objects.filter(slug=name).first()
    if environment is None:
        in_effect = Procedure.objects.filter(state="in_effect").order_by("key")
        places = [place for row in in_effect for place in row.document.testing.environments]
        mapped = next((place.environment for place in places if place.key == name), "")
        environment = Environment.objects.filter(slug=mapped).first()
    if environment is None:
        raise Http404(_("There is no environment “%(name)s”.") % {"name": name})
    caller.reach(environment)
    return environment


def missing(caller: Caller, text: str) -> Exception:
    """Return that a row is not there, to an account that may read anything at all. Raises NotPermitted to others."""
    caller.read_any()
    return Http404(text)


def application_named(caller: Caller, name: str) -> Application:
    """Return an application by its key."""
    application = within(Application.objects.filter(slug=name), caller.applications).first()
    if application is None:
        raise missing(caller, _("There is no application “%(name)s”.") % {"name": name})
    return application


def release_numbered(caller: Caller, release_id: int) -> Release:
    """Return a release that the caller may read."""
    caller.read_any()
    rows = within(Release.objects.select_related("application", "procedure"), caller.applications)
    release = rows.filter(pk=release_id).first()
    if release is None:
        raise Http404(_("The requested release does not exist."))
    return release


def release_named(caller: Caller, application: str, version: str) -> Release:
    """Return the live or finished release of a version; one that ended badly may have been followed by a copy."""
    release = (
        within(Release.objects.filter(application__slug=application, version=version), caller.applications)
        .exclude(state__in=ENDED_BADLY)
        .select_related("application", "procedure")
        .first()
    )
    if release is None:
        raise missing(caller, _("The requested release does not exist."))
    return release


def deployment_numbered(caller: Caller, deployment_id: int, *, to_read: bool = True) -> Deployment:
    """Return a deployment in an environment that the caller reads, or at least reaches."""
    rows = Deployment.objects.select_related(
        "release__application", "release__procedure", "application", "environment", "requested_by", "scheduled_by"
    )
    deployment = within(rows, caller.applications).filter(pk=deployment_id).first()
    if deployment is None:
        raise missing(caller, _("The requested deployment does not exist."))
    if to_read:
        caller.read(deployment.environment, deployment)
    else:
        caller.reach(deployment.environment)
    return deployment


def reach_all(caller: Caller, application: Application) -> None:
    """Raise NotPermitted unless the token reaches every environment of an application: a release belongs to all."""
    places = Environment.objects.filter(
        pk__in=DeploymentTarget.objects.filter(application=application).values("environment")
    )
    for environment in places if places.exists() else Environment.objects.all():
        caller.reach(environment)


def known(value: str, words: tuple[str, ...], name: str) -> str:
    """Return a word of a list, or raise InvalidInput naming the list."""
    if value not in words:
        text = _("%(name)s must be one of: %(words)s")
        raise InvalidInput(text % {"name": name, "words": listed(words)})
    return value
