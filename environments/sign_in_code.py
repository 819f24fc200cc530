"""Codes of a second factor count once, whichever web process is asked.

allauth keeps the used codes in the memory of one process. Here the row of the second factor keeps the time step of its
last code, and a code of that step or of an earlier one is refused (RFC 6238, section 5.2). Recovery codes are counted
by allauth, on their row.
"""

import time
from typing import Any

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa import app_settings
from allauth.mfa.base import forms
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

LAST_STEP = "last_step"


class _Once:
    """A form with the code of a second factor."""

    user: Any
    data: Any
    authenticator: Authenticator

    def clean_code(self) -> str:
        """Return the code. Raises ValidationError when it is not right or was used."""
        with transaction.atomic():
            rows = Authenticator.objects.select_for_update().filter(user=self.user).order_by("pk")
            app = next((row for row in list(rows) if row.type == Authenticator.Type.TOTP), None)
            step = None if app is None else _step(app, self.data.get("code", ""))
            try:
                code = self._checked(app, step)
            except ValidationError as error:
                fault = error  # Raised after the transaction, which keeps the event of the attempt.
            else:
                return code
        raise fault

    def _checked(self, app: Authenticator | None, step: int | None) -> str:
        if app is not None and step is not None and step <= app.data.get(LAST_STEP, -1):
            self._emit_authentication_failed(app)  # type: ignore[attr-defined]
            raise ValidationError(_("This code has been used. Wait until the app shows the next one."))
        code: str = super().clean_code()  # type: ignore[misc]
        if self.authenticator.type == Authenticator.Type.TOTP:
            if step is None:  # It came in its last moment, between two looks at the clock.
                raise ValidationError(_("This code is too old. Wait until the app shows the next one."))
            self.authenticator.data[LAST_STEP] = step
            self.authenticator.save(update_fields=["data"])
        return code


class AuthenticateForm(_Once, forms.AuthenticateForm):  # type: ignore[misc]
    """The code asked for at the sign-in."""


class ReauthenticateForm(_Once, forms.ReauthenticateForm):  # type: ignore[misc]
    """The code asked for at a signature."""


def _step(app: Authenticator, code: str) -> int | None:
    """Return the time step whose code this is; None: of none that counts now."""
    secret, current = decrypt(app.data["secret"]), int(time.time()) // app_settings.TOTP_PERIOD
    steps = range(current - app_settings.TOTP_TOLERANCE, current + app_settings.TOTP_TOLERANCE + 1)
    shown = (
        step for step in steps if compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, step)))
    )
    return next(shown, None)
