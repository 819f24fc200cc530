"""document:edit, check_content, approve, prepare_publication: the work on a document, by different people (G3, B6)."""

import hashlib

from django.db.models import prefetch_related_objects
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.application_scope import application_of
from environments.models import Account
from environments.models.role import role_names
from releases.gates.base import procedure_of
from releases.models import Document, DocumentSignature, Release, Rollback
from releases.procedures.document import Procedure as Content
from releases.procedures.parts import Document as Rule
from releases.procedures.values import AUTHOR

# The edge to each state that lies further on the way to publication.
EDGES = {
    ("draft", "content_checked"): "check_content",
    ("content_checked", "approved"): "approve",
    ("draft", "approved"): "pass_content_check",
    ("approved", "ready_to_publish"): "prepare_publication",
    ("draft", "ready_to_publish"): "pass_approval",
    ("content_checked", "ready_to_publish"): "pass_approval",
}
# The state for which each operation signs.
SIGNS_FOR = {"check_content": "content_checked", "approve": "approved"}
# Any one of these is enough for a signature that names no role.
CHECKING = ("check_document", "sign_checklist", "approve_document")
APPROVING = ("approve_document",)


def digest_of(document: Document) -> str:
    """Return the SHA-256 of the text."""
    return hashlib.sha256(document.body.encode()).hexdigest()


def write(document_id: int, *, body: str, reason: str = "") -> Document:
    """Set the text; a document that was signed becomes a draft again."""
    with operation("document:edit", (Document, document_id), reason=reason) as op:
        account = access.require("edit_document")
        document = op.get(Document)
        if document.state in Document.ENDS:
            raise NotPossible(not_asked(document))
        if is_blank(body):
            raise InvalidInput(_("The text is empty."))
        begin_again(document)
        document.body, document.edited_by = body, account
        document.writers = sorted({*document.writers, account.pk})
        advance(document)
    return document


def check_content(document_id: int, *, digest: str, reason: str = "") -> Document:
    """内容確認: by another person than the writer. digest: of the text that the page showed, here and below."""
    return _sign(document_id, "check_content", digest, reason)


def approve(document_id: int, *, digest: str, reason: str = "") -> Document:
    """承認取得: by another person than the writer and the checker."""
    return _sign(document_id, "approve", digest, reason)


def _sign(document_id: int, verb: str, digest: str, reason: str) -> Document:
    """Give the signature that is asked for next; the last one of a state takes the document into it."""
    with operation(f"document:{verb}", (Document, document_id), reason=reason, sign=True) as op:
        account = access.current_account()
        document = op.get(Document)
        prefetch_related_objects([document], "signatures")
        rights = rights_for(document)
        if not any(access.may(account, right) for right in rights):
            access.require(rights[0])
        signature = document.open_signature
        if signature is None or signature.for_state != SIGNS_FOR[verb]:
            raise NotPossible(not_asked(document))
        if is_blank(document.body):
            raise InvalidInput(_("The text is empty."))
        if why := why_not_permitted(account, document):
            raise NotPermitted(why)
        _shown(document, digest)
        signature.account, signature.digest, signature.signed_at = account, digest, now()
        signature.save()
        op.signature(digest, role=signature.role)
        op.details.update(signed_as=signature.label_en)
        advance(document)
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


def create(about: Release | Rollback, rule: Rule, content: Content, body: str) -> Document:
    """Create a document of a release or rollback with the signatures that the procedure asks for, inside an open
    operation; of one that is there, replace the signatures where others are asked for now.
    """
    owner = {"release": about} if isinstance(about, Release) else {"rollback": about}
    labels = {"label_ja": rule.ja, "label_en": rule.en}
    document, _created = Document.objects.get_or_create(
        **owner, kind=rule.key, defaults={"body": body or rule.template, **labels}
    )
    asked = [(state, role, row.ja, row.en) for state, role, row in content.signatures_of(rule)]
    if asked != [(s.for_state, s.role, s.label_ja, s.label_en) for s in document.signatures.all()]:
        if document.state in ("published", "retracted"):
            return document
        begin_again(document)
        document.signatures.all().delete()
        for state, role, ja, en in asked:
            DocumentSignature.objects.create(document=document, for_state=state, role=role, label_ja=ja, label_en=en)
    advance(document, content)
    return document


def begin_again(document: Document) -> None:
    """Make a document that people sign a draft without signatures, inside an open operation."""
    if document.state != "draft" and document.signatures.exists():
        document.revise()
        document.save()
    for signature in document.signatures.exclude(signed_at=None):
        signature.account, signature.digest, signature.signed_at = None, "", None
        signature.save()


def advance(document: Document, content: Content | None = None) -> None:
    """Take a document into the state whose signatures are all given, over those for which the procedure asks nothing,
    inside an open operation.
    """
    release = document.release or document.rollback.deployment.release  # type: ignore[union-attr]
    asked = {row.key for row in (content or procedure_of(release)).document_states}
    signatures = list(document.signatures.all())
    open_ = [signature for signature in signatures if signature.signed_at is None]
    if not open_:
        reached = "approved" if signatures and "ready_to_publish" in asked else "ready_to_publish"
    else:
        checked = any(one.for_state == "content_checked" for one in signatures)
        reached = "content_checked" if checked and open_[0].for_state == "approved" else ""
    if document.body.strip() and (edge := EDGES.get((document.state, reached))):
        getattr(document, edge)()
        document.save()


def not_asked(document: Document) -> str:
    """Return the refusal of what is not possible in the present state."""
    text = _("This operation is not possible in the state “%(state)s”.")
    return text % {"state": document.get_state_display()}


def _shown(document: Document, digest: str) -> None:
    if digest != digest_of(document):
        raise GateNotPassed(_("The text shown to you differs from the current text. Read it again."))


def rights_for(document: Document) -> tuple[str, ...]:
    """Return the permissions of which one is needed for the signature that a document is asked for next."""
    signature = document.open_signature
    if signature is None or not signature.role:
        return CHECKING if signature is not None and signature.for_state == "content_checked" else APPROVING
    return ("edit_document",) if signature.role == AUTHOR else ("sign_document",)


def why_not_permitted(account: Account, document: Document) -> str:
    """Return why a person may not give the next signature: they wrote the text, or did not where its author signs; they
    have signed it; or they lack the role that the procedure names. Empty when they may.
    """
    signature = document.open_signature
    role = signature.role if signature is not None else ""
    wrote = bool(account.accounts & set(document.writers))
    if role == AUTHOR and not wrote:
        return _("Only a person who wrote the text signs as its author.")
    if (wrote and role != AUTHOR) or account.accounts & _signers(document):
        return _("A different person from the one before must do this.")
    if role in ("", AUTHOR):
        return ""
    if role in access.counting_roles(account, None, application=application_of(document)):
        return ""
    return _("The release procedure asks the role %(role)s to sign this.") % {"role": role_names().get(role, role)}


def _signers(document: Document) -> set[int]:
    return {signature.account_id for signature in document.signatures.all() if signature.account_id is not None}
