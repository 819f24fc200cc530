"""artefact:register: CI says what it has built of a commit, by digest; releases of this commit deploy it."""

import re

from django.utils.translation import gettext as _

from audit.operation import NothingToDo, operation
from audit.refusals import InvalidInput
from environments import access
from environments.models import Application
from releases.models import Artefact
from releases.queries.repository import commit_of
from releases.sources import artefacts, git

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def register(
    application_id: int,
    *,
    commit: str,
    kind: str,
    reference: str,
    digest: str,
    signature: str = "",
    signed_payload: str = "",
) -> Artefact:
    """Store an artefact of a commit; one that is already stored is returned as it is.

    digest: SHA-256 (64 hex, with or without `sha256:`). signature, signed_payload: see Artefact. Drafts deploy the
    newest artefact of their commit; a release keeps the one with which its scope was locked.
    """
    application = Application.objects.filter(pk=application_id).first()
    if application is None:
        raise InvalidInput(_("The selected application does not exist."))
    try:
        _repository, seen = commit_of(application, commit)
    except (git.SourceUnavailable, git.NoSuchRevision) as fault:
        raise InvalidInput(str(fault))
    found = _DIGEST.fullmatch(digest.strip().lower())
    named = reference.strip()
    with operation("artefact:register", (Application, application_id)) as op:
        account = access.require("upload_evidence")
        if kind not in Artefact.Kind.values:
            raise InvalidInput(_("An artefact is an archive, a file or an image."))
        if found is None:
            raise InvalidInput(_("The digest must be a SHA-256: 64 characters from 0 to 9 and a to f."))
        if wrong := artefacts.wrong_reference(kind, named):
            raise InvalidInput(wrong)
        content = {
            "application": application,
            "commit": seen.commit,
            "kind": kind,
            "reference": named,
            "digest": found[1],
            "signature": "".join(signature.split()),
            "signed_payload": signed_payload.strip(),
        }
        if unsigned := _fault(op.get(Application), content):
            raise InvalidInput(unsigned)
        # A repeated call changes nothing; an artefact that is older than another one becomes the newest again.
        last = Artefact.objects.filter(application=application, commit=seen.commit, kind=kind).order_by("pk").last()
        if last is not None and all(getattr(last, name) == value for name, value in content.items()):
            artefact = last
            raise NothingToDo
        artefact = Artefact.objects.create(**content, registered_by=account)
        op.about(artefact, kind=kind, digest=artefact.digest)
    return artefact


def _fault(application: Application, content: dict[str, object]) -> str:
    """Return why a signature is not good, where there is one and the application has keys to check it with."""
    keys = application.allowed_signers
    if not content["signature"] or not artefacts.public_keys(keys):
        return ""
    kind, digest, signature, payload = (str(content[k]) for k in ("kind", "digest", "signature", "signed_payload"))
    return artefacts.signature_fault(kind, digest, signature, payload, keys)
