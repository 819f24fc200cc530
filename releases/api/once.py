"""Writing calls: the acting account, and the Idempotency-Key, with which a repeated call gets the same answer."""

import hashlib
import inspect
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import Schema
from ninja.responses import NinjaJSONEncoder

from audit.actor import acting
from audit.clock import now
from audit.operation import retry_on_deadlock
from audit.refusals import InvalidInput
from releases.api import problems
from releases.api.token import actor_of, caller_of
from releases.models import IdempotencyKey

HEADER = "Idempotency-Key"
LONGEST = 200
KEPT = timedelta(days=7)


def writes(view: Callable[..., Schema]) -> Callable[..., HttpResponse]:
    """Make a view a writing call: it acts as the token's account, once per key, and is answered in JSON."""

    @wraps(view)
    def write(request: HttpRequest, **given: Any) -> HttpResponse:
        def answer() -> HttpResponse:
            made = retry_on_deadlock(view)(request, **given)
            # Written as ninja writes answers to reads, so that a time looks the same in both.
            content = json.dumps(made.model_dump(), cls=NinjaJSONEncoder, ensure_ascii=False)
            return HttpResponse(content, content_type="application/json; charset=utf-8")

        with acting(actor_of(request)):
            return _once(request, answer)

    # Resolved here: ninja would look the names up in this module.
    write.__signature__ = inspect.signature(view, eval_str=True)  # type: ignore[attr-defined]
    return write


def _once(request: HttpRequest, answer: Callable[[], HttpResponse]) -> HttpResponse:
    key = request.headers.get(HEADER)
    if key is None:
        return answer()
    if not 0 < len(key) <= LONGEST or not all(" " <= c <= "~" for c in key):
        text = _("%(header)s must have 1 to %(longest)d printable characters.")
        raise InvalidInput(text % {"header": HEADER, "longest": LONGEST})
    digest = _digest(request)
    row, mine = _claim(request, key, digest)
    if not mine:
        return _again(request, row, digest)
    try:
        response = answer()
    except Exception as fault:  # noqa: BLE001  a refusal or a fault is an answer too, and is kept like one
        response = problems.of(request, fault)
    row.status, row.body = response.status_code, response.content.decode()
    row.save(update_fields=["status", "body"])
    return response


def _claim(request: HttpRequest, key: str, digest: str) -> tuple[IdempotencyKey, bool]:
    """Return the key's row and whether this call created it; committed at once, so that a duplicate call sees it."""
    token = caller_of(request).token
    IdempotencyKey.objects.filter(token=token, at__lt=now() - KEPT).delete()
    try:
        with transaction.atomic():
            return IdempotencyKey.objects.create(token=token, key=key, digest=digest), True
    except IntegrityError:
        return IdempotencyKey.objects.get(token=token, key=key), False


def _again(request: HttpRequest, row: IdempotencyKey, digest: str) -> HttpResponse:
    if row.digest != digest:
        return problems.problem(
            request, "idempotency_key_reused", _("This idempotency key was already used for a different call.")
        )
    if row.status is None:
        if now() - row.at > timedelta(minutes=2):
            detail = _(
                "The first call with this idempotency key did not end. Check what that call has done, and use a "
                "new key."
            )
        else:
            detail = _("The first call with this idempotency key is not answered yet.")
        response = problems.problem(request, "in_progress", detail)
        response["Retry-After"] = "1"
        return response
    kind = problems.MEDIA_TYPE if row.status >= 400 else "application/json; charset=utf-8"
    response = HttpResponse(row.body, status=row.status, content_type=kind)
    response["Idempotency-Replayed"] = "true"
    return response


def _digest(request: HttpRequest) -> str:
    """Return the digest of a call's request; boundaries of a form and spaces of JSON make no difference."""
    asked = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    if request.content_type == "multipart/form-data":
        asked.update(json.dumps(sorted(request.POST.lists())).encode())
        for name, files in sorted(request.FILES.lists()):
            for file in files:
                file.seek(0)
                content = hashlib.sha256()
                for chunk in file.chunks():
                    content.update(chunk)
                file.seek(0)
                asked.update(f"{name}={content.hexdigest()}\n".encode())
        return asked.hexdigest()
    try:
        asked.update(json.dumps(json.loads(request.body or b"null"), sort_keys=True).encode())
    except (ValueError, RecursionError):
        asked.update(request.body)
    return asked.hexdigest()
