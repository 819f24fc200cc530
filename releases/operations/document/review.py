"""document:edit, check_content, approve, prepare_publication: the work on a document, by different people (G3, B6)."""

import hashlib

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted
from environments import access
from environments.models import Account
from releases.models import Document


def digest_of(document: Document) -> str:
    """Return the SHA-256 of the text."""
    return hashlib.sha256(document.body.encode()).hexdigest()


def write(document_id: int, *, body: str, reason: str = "") -> Document:
    """Set the text; a document that was checked or approved becomes a draft again."""
    with operation("document:edit", (Document, document_id), reason=reason) as op:
        account = access.require("edit_document")
        document = op.get(Document)
        if not body.strip():
            raise InvalidInput(_("The text is empty."))
        if document.state != "draft":
            document.revise()
        document.body, document.edited_by = body, account
        document.writers = sorted({*document.writers, account.pk})
        document.checked_by = document.approved_by = None
    return document


def check_content(document_id: int, *, digest: str, reason: str = "") -> Document:
    """内容確認: by another person than the writer. digest: of the text that the page showed, here and below."""
    with operation("document:check_content", (Document, document_id), reason=reason, sign=True) as op:
        account = access.current_account()
        if not any(access.may(account, verb) for verb in ("check_document", "sign_checklist", "approve_document")):
            access.require("check_document")
        document = op.get(Document)
        document.check_content()
        _require_another(document, account)
        _shown(document, digest)
        document.checked_by = account
        op.signature(digest)
    return document


def approve(document_id: int, *, digest: str, reason: str = "") -> Document:
    """承認取得: by another person than the writer and the checker."""
    with operation("document:approve", (Document, document_id), reason=reason, sign=True) as op:
        account = access.require("approve_document")
        document = op.get(Document)
        document.approve()
        _require_another(document, account)
        _shown(document, digest)
        document.approved_by = account
        op.signature(digest)
    return document


def prepare_publication(document_id: int, *, digest: str, reason: str = "") -> Document:
    """公開準備: state that everything that publishing needs is ready."""
    with operation("document:prepare_publication", (Document, document_id), reason=reason) as op:
        account = access.current_account()
        if not (access.may(account, "edit_document") or access.may(account, "approve_document")):
            access.require("edit_document")
        document = op.get(Document)
        document.prepare_publication()
        _shown(document, digest)
        op.details["digest"] = digest
    return document


def _shown(document: Document, digest: str) -> None:
    if digest != digest_of(document):
        raise GateNotPassed(_("The text shown to you differs from the current text. Read it again."))


def why_not_permitted(account: Account, document: Document) -> str:
    """Return why a person may neither check nor approve a text: they wrote in it, or have checked it; empty when they
    may.
    """
    checker = document.checked_by
    if account.accounts & set(document.writers) or (checker is not None and checker.pk in account.accounts):
        return _("A different person from the one before must do this.")
    return ""


def _require_another(document: Document, account: Account) -> None:
    if why := why_not_permitted(account, document):
        raise NotPermitted(why)
