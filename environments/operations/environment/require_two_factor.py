"""environment:require_two_factor: whether a signature for an environment needs a second factor."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import NotPossible
from environments import access
from environments.models import Environment


def require_two_factor(environment_id: int, *, demanded: bool, reason: str) -> Environment:
    """Require a second factor with each signature for an environment, or stop requiring it.

    Both changes are signed with a second factor: the signer can go on afterwards, and no password alone ends it.
    """
    with operation("environment:require_two_factor", (Environment, environment_id), reason=reason, sign=True) as op:
        environment = op.get(Environment)
        access.require("manage_access", environment)
        if environment.requires_two_factor == demanded:
            raise NotPossible(_("This setting is already in effect."))
        op.require_reason()
        environment.requires_two_factor = True
        access.require_factor(environment)
        environment.requires_two_factor = demanded
        op.signature()
        op.about(environment, demanded=demanded)
    return environment
