"""environment:require_two_factor: whether a signature for an environment needs a second factor."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import WrongState
from environments import access
from environments.models import Environment


def demand_mfa(environment_id: int, *, demanded: bool, reason: str) -> Environment:
    """Ask for a second factor with each signature for an environment, or stop asking.

    It is signed with a second factor both ways: who has none could not go on, and no password alone ends it.
    """
    with change("environment:require_two_factor", (Environment, environment_id), reason=reason, sign=True) as act:
        environment = act.get(Environment)
        access.require("grant", environment)
        if environment.requires_two_factor == demanded:
            raise WrongState(_("This setting is already in effect."))
        act.require_reason()
        environment.requires_two_factor = True
        access.require_factor(environment)
        environment.requires_two_factor = demanded
        act.signature("demand_mfa")
        act.about(environment, demanded=demanded)
    return environment
