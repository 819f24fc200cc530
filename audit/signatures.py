"""The proof of identity behind an operation that signs, and what is kept of it."""

import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import rfc8785
from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _

from audit.offline.ringi_verify import content_of
from audit.refusals import SignatureRequired

if TYPE_CHECKING:
    from audit.operation import Operation

SignatureCheck = Callable[[str, Iterable[models.Model]], None]
AssertionCheck = Callable[[int | None, dict[str, Any], str], None]
_signature_checks: list[SignatureCheck] = []
_assertion_checks: list[AssertionCheck] = []


def add_signature_check(check: SignatureCheck) -> None:
    """Register `check(event, rows)`, which raises an OperationRefused, for every operation that signs. Apps call this
    at start.

    It is called twice: with the locked rows before anything is done, and at the end with the rows made inside too. A
    SignatureRequired (proof of identity lacking) is raised at the end, with what would have been signed.
    """
    if check not in _signature_checks:
        _signature_checks.append(check)


def add_assertion_check(check: AssertionCheck) -> None:
    """Register `check(account_id, assertion, content)`, which locks what an assertion rests on and raises a
    SignatureRequired where it has ended or did not sign that content. Apps call this at start.

    It is called last, so that the end of a passkey is written behind what it signed.
    """
    if check not in _assertion_checks:
        _assertion_checks.append(check)


def content(op: "Operation") -> str:
    """Return what is signed: the operation with its digest; where it has none, with the row that it was opened on and
    the digest of the submitted values.
    """
    own = op.details.get("signature", {}).get("digest")
    return content_of(op.event, own or " ".join(filter(None, (op.named, op.actor.submitted))))


def missing_proof(op: "Operation") -> SignatureRequired | None:
    """Return what is missing in the signer's proof of identity: first the proof itself, then what apps check."""
    since = op.actor.authenticated_at
    if since is None or (datetime.now(UTC) - since).total_seconds() > settings.REAUTHENTICATION_TIMEOUT:
        return SignatureRequired(_("Confirm who you are: this is a signature."))
    try:
        for check in _signature_checks:
            check(op.event, [*op.rows.values(), *op.created])
    except SignatureRequired as lacking:
        return lacking
    return None


def require_proof(op: "Operation", lacking: SignatureRequired | None) -> None:
    """Ask the signer for the proof of identity that is missing, now that it is known what they sign.

    A passkey signs contents: its assertion counts for these, and is kept in the event where they have a digest. Raises
    SignatureRequired.
    """
    assertion, signed = op.actor.assertion, content(op)
    try:
        if lacking is not None:
            raise lacking
        if assertion is None:
            return
        if signed not in assertion["contents"]:
            raise SignatureRequired(_("Confirm who you are: this is a signature."))
        for check in _assertion_checks:
            check(op.actor.account_id, dict(assertion), signed)
    except SignatureRequired as needed:
        needed.contents = (signed,)
        raise
    if op.details["signature"]["digest"]:
        op.details["assertion"] = dict(assertion)


def add_digest(op: "Operation", reason: str) -> None:
    """Set the digest of a signature without one to that of the event, which anybody can compute from its bytes."""
    record = op.details.get("signature")
    if record is None or record["digest"]:
        return
    after = {name: value for name, value in op.details.items() if name != "signature"}
    content: Any = {"operation": op.event, "object": op.object, "reason": reason, "after": after}
    record["digest"] = sha256(unicodedata.normalize("NFC", rfc8785.dumps(content).decode()).encode()).hexdigest()
