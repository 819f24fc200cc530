"""The forms that ask for a second factor. A code counts once, whichever web process is asked; what is wrong is written.

allauth keeps the used codes in the memory of one process. Here the row of the second factor keeps the time step of its
last code, and a code of that step or of an earlier one is refused (RFC 6238, section 5.2). Recovery codes are counted
by allauth, on their row.
"""

import time
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.core import context
from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa import app_settings
from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.base import forms
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from allauth.mfa.webauthn.forms import AuthenticateWebAuthnForm, ReauthenticateWebAuthnForm
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_client_ip_address, get_client_username
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from audit.operation import label, record_refusal
from environments.actors import acting_as_reader
from environments.passkeys import MALFORMED

LAST_STEP = "last_step"


class _Recorded:
    """A form whose refusals are written, under the name of who has signed in, else of a visitor."""

    user: Any

    def record(self, fault: ValidationError) -> None:
        """Write a refusal."""
        with acting_as_reader(context.request):
            record_refusal("session:sign_in", *fault.messages, object=label(self.user), second_factor=True)


class _Code(_Recorded):
    """A form with a code. Wrong ones are counted with wrong passwords, in the database, until a right one comes."""

    data: Any
    authenticator: Authenticator
    failed: Authenticator | None = None

    def clean_code(self) -> str:
        """Return the code. Raises ValidationError when it is not right or was used, or after too many wrong ones."""
        if not AxesProxyHandler.is_allowed(context.request, self._counted):
            raise get_adapter().validation_error("too_many_login_attempts")
        with transaction.atomic():
            rows = Authenticator.objects.select_for_update().filter(user=self.user).order_by("pk")
            app = next((row for row in list(rows) if row.type == Authenticator.Type.TOTP), None)
            step = None if app is None else _step(app, self.data.get("code", ""))
            try:
                code = self._checked(app, step)
            except ValidationError as error:
                fault = error
            else:
                named = get_client_username(context.request, self._counted)
                AxesProxyHandler.reset_attempts(username=named, ip_address=get_client_ip_address(context.request))
                return code
        self.record(fault)
        if self.failed is not None:
            user_login_failed.send(sender=__name__, credentials=self._counted, request=context.request)
        raise fault

    def _checked(self, app: Authenticator | None, step: int | None) -> str:
        if app is not None and step is not None and step <= app.data.get(LAST_STEP, -1):
            raise ValidationError(_("This code has been used. Wait until the app shows the next one."))
        code: str = super().clean_code()  # type: ignore[misc]
        if self.authenticator.type == Authenticator.Type.TOTP:
            if step is None:  # It came in its last moment, between two looks at the clock.
                raise ValidationError(_("This code is too old. Wait until the app shows the next one."))
            self.authenticator.data[LAST_STEP] = step
            self.authenticator.save(update_fields=["data"])
        return code

    def _emit_authentication_failed(self, authenticator: Authenticator) -> None:
        super()._emit_authentication_failed(authenticator)  # type: ignore[misc]
        self.failed = authenticator

    @property
    def _counted(self) -> dict[str, str]:
        return {"username": self.user.get_username()}


class AuthenticateForm(_Code, forms.AuthenticateForm):  # type: ignore[misc]
    """The code asked for at the sign-in."""


class ReauthenticateForm(_Code, forms.ReauthenticateForm):  # type: ignore[misc]
    """The code asked for at a signature."""


class _Key(_Recorded):
    def clean_credential(self) -> Authenticator:
        """Return the key whose answer this is. Raises ValidationError."""
        try:
            return super().clean_credential()  # type: ignore[misc, no-any-return]
        except ValidationError as error:
            fault = error
        except (AttributeError, *MALFORMED):  # the library reads an answer of another form
            fault = get_mfa_adapter().validation_error("incorrect_code")
        self.record(fault)
        raise fault


class AuthenticateKeyForm(_Key, AuthenticateWebAuthnForm):  # type: ignore[misc]
    """The answer of a passkey or security key at the sign-in."""


class ReauthenticateKeyForm(_Key, ReauthenticateWebAuthnForm):  # type: ignore[misc]
    """Its answer at a signature."""


def _step(app: Authenticator, code: str) -> int | None:
    """Return the time step whose code this is; None: of none that counts now."""
    secret, current = decrypt(app.data["secret"]), int(time.time()) // app_settings.TOTP_PERIOD
    steps = range(current - app_settings.TOTP_TOLERANCE, current + app_settings.TOTP_TOLERANCE + 1)
    shown = (
        step for step in steps if compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, step)))
    )
    return next(shown, None)
