"""application:set_allowed_signers: the trusted keys for signatures on the tags of an application."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput
from environments import access
from environments.models import Application
from releases.sources.artefacts import wrong_key


def set_allowed_signers(application_id: int, *, signers: str, reason: str) -> Application:
    """Replace the known keys: a line an SSH key as git's allowed signers have it, armoured PGP public keys, and the PEM
    public keys that sign artefacts.

    Tags that were confirmed before stay what they are; the next look at them counts the new keys.
    """
    with operation("application:set_allowed_signers", (Application, application_id), reason=reason, sign=True) as op:
        access.require("plan")
        application = op.get(Application)
        op.require_reason()
        if "PRIVATE KEY" in signers:
            raise InvalidInput(_("This is a private key. Enter public keys only."))
        if why := wrong_key(signers):
            raise InvalidInput(why)
        application.allowed_signers = signers.replace("\r\n", "\n").strip() + "\n"
        op.about(application, keys=len(application.allowed_signers.splitlines()))
    return application
