"""application:retire and application:reinstate: an application of which no release is planned any more."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import GateNotPassed
from environments import access
from environments.models import Application
from releases.models import Release


def retire(application_id: int, *, reason: str) -> Application:
    """Retire an application; its releases and their history stay.

    Raises NotPermitted, InvalidInput, and GateNotPassed while it has a target in use or an open release.
    """
    with operation("application:retire", (Application, application_id), reason=reason, sign=True) as op:
        access.require("plan")
        application = op.get(Application)
        op.require_reason()
        if target := application.targets.first():
            text = _("The deployment target %(target)s is in use. Retire it first.")
            raise GateNotPassed(text % {"target": target})
        if release := Release.objects.filter(application=application, state__in=Release.UNDER_WAY).first():
            raise GateNotPassed(_("%(release)s has not ended. Complete or cancel it first.") % {"release": release})
        application.retired = True
    return application


def reinstate(application_id: int, *, reason: str) -> Application:
    """Allow releases of a retired application again. Raises NotPermitted, InvalidInput."""
    with operation("application:reinstate", (Application, application_id), reason=reason, sign=True) as op:
        access.require("plan")
        op.require_reason()
        op.get(Application).retired = False
    return op.get(Application)
