"""configuration:create: a new version of an application's configuration in an environment (E2)."""

import re

from django.db.models import Max
from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput
from environments import access
from environments.language import listed
from environments.models import Application, ConfigurationVersion, Environment
from environments.secret_detection import has_password
from environments.secrets import encrypt

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def rights_in(environment: Environment) -> list[tuple[str, Environment | None]]:
    """Return the rights, each with where it is asked (None: everywhere), any of which lets one configure there."""
    return [("edit_configuration", environment), ("edit_target", None)]


def create(
    *, application_id: int, environment_id: int, values: dict[str, str], secrets: dict[str, str], reason: str
) -> ConfigurationVersion:
    """Make the next version. A secret given as an empty text keeps the value of the version before."""
    rows = ((Application, application_id), (Environment, environment_id))
    with operation("configuration:create", *rows, reason=reason) as op:
        environment = op.get(Environment)
        account = access.current_account()
        if not any(access.may(account, right, place) for right, place in rights_in(environment)):
            raise access.lacking("edit_configuration", environment)
        if wrong := sorted(key for key in {*values, *secrets} if not KEY.match(key)):
            raise InvalidInput(_("These setting names are not valid: %(keys)s") % {"keys": listed(wrong)})
        if telling := sorted(key for key, value in values.items() if has_password(str(value))):
            raise InvalidInput(
                _("These addresses contain a password. Enter them as secrets: %(keys)s") % {"keys": listed(telling)}
            )
        both = set(values) & set(secrets)
        if both:
            raise InvalidInput(
                _("These settings have both a value and a secret: %(keys)s") % {"keys": listed(sorted(both))}
            )
        application = op.get(Application)
        earlier = ConfigurationVersion.objects.filter(application=application, environment=environment)
        number = (earlier.aggregate(Max("number"))["number__max"] or 0) + 1
        before = earlier.first()
        version = ConfigurationVersion(
            application=application,
            environment=environment,
            number=number,
            values={key: str(value) for key, value in values.items()},
            created_by=account,
            reason=reason,
        )
        kept = before.opened() if before is not None else {}
        clear = {key: text or kept.get(key, "") for key, text in secrets.items()}
        missing = sorted(key for key, text in clear.items() if not text)
        if missing:
            raise InvalidInput(_("These secrets have no value: %(keys)s") % {"keys": listed(missing)})
        version.encrypted = {key: encrypt(text, version.aad(key)) for key, text in clear.items()}
        version.digest = ConfigurationVersion.digest_of(version.values, clear)
        version.save()
        op.about(version)
    return version
