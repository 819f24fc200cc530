"""Refusals and faults of the API as problem+json (RFC 9457), with a type that programs can distinguish."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.core.cache import cache
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.translation import gettext as _, gettext_lazy
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError

from audit.actor import acting
from audit.isolated import is_unavailable
from audit.operation import record_refusal
from audit.refusals import OperationRefused
from environments.actors import visitor
from releases.api.body import UnreadableBody
from releases.api.token import actor_of, request_id

log = logging.getLogger(__name__)
STRANGER_SECONDS = 60
MEDIA_TYPE = "application/problem+json"
# Kind → (status, title). The kind is the fragment of the type.
KINDS: Mapping[str, tuple[int, Any]] = {
    "malformed": (400, gettext_lazy("The request cannot be read")),
    "unauthenticated": (401, gettext_lazy("A token is needed")),
    "not_permitted": (403, gettext_lazy("Not permitted")),
    "signature_required": (403, gettext_lazy("Signature required")),
    "not_found": (404, gettext_lazy("Not found")),
    "method_not_allowed": (405, gettext_lazy("Method not allowed")),
    "not_possible": (409, gettext_lazy("Not possible now")),
    "gate_not_passed": (409, gettext_lazy("Gate not passed")),
    "in_progress": (409, gettext_lazy("The same call is still in progress")),
    "content_too_large": (413, gettext_lazy("Request too large")),
    "unsupported_media_type": (415, gettext_lazy("Unsupported media type")),
    "invalid_input": (422, gettext_lazy("Validation failed")),
    "idempotency_key_reused": (422, gettext_lazy("The idempotency key belongs to another call")),
    "too_many_requests": (429, gettext_lazy("Too many calls")),
    "unavailable": (503, gettext_lazy("The database is unavailable")),
    "internal_error": (500, gettext_lazy("Unexpected error")),
}
DOCUMENTED = (400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503)


def problem(request: HttpRequest, kind: str, detail: str, *, reasons: Sequence[str] = (), **more: Any) -> HttpResponse:
    """Return one problem; `instance` is the request id, which the ledger and the log use too."""
    status, title = KINDS[kind]
    body = {
        "type": f"about:blank#{kind}",
        "title": str(title),
        "status": status,
        "detail": detail,
        "instance": f"urn:ringi:request:{request_id(request)}",
        "reasons": list(reasons) or [detail],
        **more,
    }
    response = HttpResponse(json.dumps(body, ensure_ascii=False), status=status, content_type=MEDIA_TYPE)
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def _note(request: HttpRequest, kind: str, reasons: Sequence[str]) -> None:
    """Record a refusal that no operation has recorded, under the called path; the token is left out."""
    call = f"{request.method} {request.path}"[:200]
    record_refusal("api:call", *reasons, kind=kind, call=call)


def of(request: HttpRequest, fault: Exception | type[Exception]) -> HttpResponse:
    """Return the problem for an exception; an unexpected one is logged and shows no internal detail."""
    match fault:
        case OperationRefused():
            if fault.kind == "not_permitted" and not fault.written:
                with acting(actor_of(request)):
                    _note(request, fault.kind, fault.reasons)
                fault.written = True
            reasons = [str(reason) for reason in fault.reasons]
            return problem(
                request, fault.kind if fault.kind in KINDS else "invalid_input", " ".join(reasons), reasons=reasons
            )
        case ValidationError():
            errors = [{"where": ".".join(map(str, e["loc"])), "fault": str(e["msg"])} for e in fault.errors]
            reasons = [f"{e['where']}: {e['fault']}" for e in errors]
            text = _("The request contains invalid values. The list of errors names each of them.")
            return problem(request, "invalid_input", text, reasons=reasons, errors=errors)
        case Http404():
            return problem(request, "not_found", str(fault) or _("The requested object does not exist."))
        case Throttled():
            response = problem(request, "too_many_requests", _("This token has made too many calls; wait a little."))
            response["Retry-After"] = str(max(1, int(fault.wait or 1)))
            return response
        case AuthenticationError():
            why = _("Send a valid token: %(header)s") % {"header": "Authorization: Bearer …"}
            stranger = visitor(request.META.get("REMOTE_ADDR", ""), request_id(request))
            # Calls without a token are open to anyone: one event records them, a thousand would only fill the ledger.
            if cache.add(f"stranger:{stranger.address}", True, STRANGER_SECONDS):
                with acting(replace(stranger, channel="api")):
                    _note(request, "unauthenticated", [why])
            return problem(request, "unauthenticated", why)
        case RequestDataTooBig():
            return problem(request, "content_too_large", _("The request is too large."))
        case HttpError(__cause__=UnreadableBody() as why):
            return problem(request, why.kind, str(why))
        case HttpError() | MultiPartParserError() | BadRequest() | SuspiciousOperation() | UnicodeError():
            return problem(request, "malformed", _("The request cannot be read."))
    if isinstance(fault, Exception) and is_unavailable(fault):
        log.warning("%s %s (request %s): %s", request.method, request.path, request_id(request), fault)
        text = _("Ringi cannot use its database at the moment. This request changed nothing.")
        if request.method not in ("GET", "HEAD"):  # a part of it may be done, and a commit may be under way
            text = _(
                "Ringi cannot use its database at the moment. Check whether the request took effect, then repeat it."
            )
        return problem(request, "unavailable", text)
    log.error(
        "%s %s (request %s)",
        request.method,
        request.path,
        request_id(request),
        exc_info=fault if isinstance(fault, Exception) else True,
    )
    return problem(request, "internal_error", _("The error is in the log under the number of this request."))
