"""The check type for the certificate and the headers of a page; used by deployments and monitoring."""

import re
from datetime import UTC, datetime
from typing import ClassVar

from cryptography import x509
from pydantic import Field, model_validator

from environments.targets.base import Parameters, Pattern
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, CheckType, Result
from releases.check_types.excerpt import excerpt
from releases.check_types.http import PagePath
from releases.metric_sources.fetch import Fetched, NoAnswer, ask


class SecurityParameters(Parameters):
    """path: page below the target's base address. certificate_days: days for which the certificate must still be valid.

    headers: name → pattern that its whole value must match. absent: headers that must not be sent.
    certificate_days requires TLS with an accepted certificate; 0 requires none.
    """

    path: PagePath = "/"
    certificate_days: int = Field(default=0, ge=0, le=3650)
    headers: dict[str, Pattern] = Field(default_factory=dict)
    absent: tuple[str, ...] = ()
    seconds: float = Field(default=5.0, gt=0, le=60)

    @model_validator(mode="after")
    def _asks_for_something(self) -> "SecurityParameters":
        if not (self.certificate_days or self.headers or self.absent):
            raise ValueError(_("one of certificate_days, headers, absent is needed"))
        return self


class Security(CheckType):
    """Checks the certificate's last day and the headers of one page."""

    name: ClassVar[str] = "security"
    parameters: ClassVar[type[Parameters]] = SecurityParameters

    def run(self, context: CheckContext, parameters: SecurityParameters) -> CheckResult:
        """Request once. An unaccepted certificate fails; no answer is an error."""
        limit = _limit(parameters)
        base = str(context.target.settings.get("urls", {}).get("base", "")).rstrip("/")
        if not base:
            return CheckResult(
                Result.ERROR, limit=limit, output=_("The options of the deployment target have no base address.")
            )
        try:
            answer = ask(base + parameters.path, context.target, seconds=parameters.seconds)
        except NoAnswer as error:
            result = Result.FAILED if error.untrusted else Result.ERROR
            return CheckResult(result, limit=limit, output=str(error))
        days = days_left(answer.certificate, datetime.now(UTC)) if answer.certificate else None
        faults = _faults(answer, parameters, days)
        value = _("no TLS") if days is None else _("%(days)d days left") % {"days": days}
        seen = [f"{name}: {text}" for name, text in sorted(answer.headers.items())]
        output = excerpt([f"GET {parameters.path}", *faults, *seen], context)
        return CheckResult(Result.FAILED if faults else Result.PASSED, value, limit, output)


def days_left(certificate: bytes, moment: datetime) -> int:
    """Return the whole days until a certificate (DER) ends; negative when it has ended (RFC 5280 §4.1.2.5)."""
    ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    return (ends - moment).days


def _limit(parameters: SecurityParameters) -> str:
    parts = [_("≥ %(days)d days") % {"days": parameters.certificate_days}] if parameters.certificate_days else []
    parts += [f"{name}: {pattern}" for name, pattern in parameters.headers.items()]
    parts += [_("no %(header)s") % {"header": name} for name in parameters.absent]
    return ", ".join(parts)


def _faults(answer: Fetched, parameters: SecurityParameters, days: int | None) -> list[str]:
    faults = []
    if parameters.certificate_days and days is None:
        faults.append(_("The page is not served over TLS."))
    elif days is not None and days < parameters.certificate_days:
        faults.append(_("The certificate expires in %(days)d days.") % {"days": days})
    for name, pattern in parameters.headers.items():
        value = answer.headers.get(name.lower())
        if value is None:
            faults.append(_("The header %(header)s is missing.") % {"header": name})
        elif not re.fullmatch(pattern, value):
            faults.append(_("The header %(header)s is “%(value)s”.") % {"header": name, "value": value[:100]})
    for name in parameters.absent:
        if name.lower() in answer.headers:
            faults.append(_("The header %(header)s is sent.") % {"header": name})
    return faults
