"""document:publish: a ready document becomes a page with a permanent address and, where the application says so, a
commit (P6).

A document counts as published only after that. A worker makes the commit outside of any transaction.
"""

import logging
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import NotPossible
from environments import access
from environments.models import Account, Application
from releases import dispatch
from releases.models import Document, Procedure, Release
from releases.operations.document.review import digest_of
from releases.queries.repository import credentials_of, place_of
from releases.sources import git

log = logging.getLogger(__name__)
QUEUE, JOB = "checks", "publish_documents"
AGAIN = timedelta(hours=1)
LONGEST_FAILURE = 300


def publish_with(release: Release) -> None:
    """Publish what is ready, inside the open operation that completes its release, or have a worker commit it first."""
    for document in release.documents.filter(state="ready_to_publish"):
        if release.application.documents_branch:
            document.publish_at = now()
        else:
            _put_out(document)
        document.save()
    if release.application.documents_branch:
        dispatch.wake_on_commit(QUEUE, JOB, release_id=release.pk)


def publish(release_id: int) -> bool:
    """Commit and publish the waiting documents of a release; return whether it succeeded. A failure is tried again."""
    release = Release.objects.select_related("application").get(pk=release_id)
    waiting = list(release.documents.filter(state="ready_to_publish", publish_at__lte=now()))
    if not waiting:
        return False
    commit = failure = ""
    try:
        commit = _commit(release, waiting)
    except (git.SourceUnavailable, git.FilesRefused) as fault:
        failure = str(fault)[:LONGEST_FAILURE]
    event = "document:fail_publication" if failure else "document:publish"
    with operation(event, (Release, release_id), *((Document, row.pk) for row in waiting), reason=failure) as op:
        for seen in waiting:
            row = op.get(Document, seen.pk)
            if row.state != "ready_to_publish" or digest_of(row) != digest_of(seen):
                continue  # rewritten or withdrawn meanwhile
            row.publish_failure = failure
            if failure:
                row.publish_at = now() + AGAIN
            else:
                _put_out(row, commit)
        op.details.update({"commit": commit} if commit else {})
    return not failure


def publish_again(document_id: int, *, reason: str = "") -> Document:
    """Try again now to publish a document whose publication failed."""
    with operation("document:retry_publication", (Document, document_id), reason=reason) as op:
        account = access.current_account()
        if not access.may(account, "approve_document"):
            access.require("edit_document")
        document = op.get(Document)
        if document.state != "ready_to_publish":
            text = _("This operation is not possible in the state “%(state)s”.")
            raise NotPossible(text % {"state": document.get_state_display()})
        if why := not_due(account, document):
            raise NotPossible(why)
        document.publish_at = now()
        if document.release_id is not None:
            dispatch.wake_on_commit(QUEUE, JOB, release_id=document.release_id)
    return document


def not_due(account: Account, document: Document) -> str:
    """Return why a document is not published now; empty where only the repository prevents it."""
    return "" if document.publish_at is not None else _("The document is published when its release is completed.")


def wrong_branch(branch: str, application: Application) -> str:
    """Return why documents are not committed to a branch, empty when they may be: never to one of a release."""
    procedure = Procedure.objects.of(application)
    rows = procedure.document.accepted_branches if procedure is not None else ()
    if not git.head_accepts([branch], [p for row in rows for p in (*row.patterns, *row.emergency_patterns)]):
        return ""
    text = _("Releases come from the branch %(branch)s. Name another one, such as ringi/documents.")
    return text % {"branch": branch}


def _put_out(document: Document, commit: str = "") -> None:
    document.publish()
    document.published_at, document.published_commit, document.publish_at = now(), commit, None


def _commit(release: Release, documents: list[Document]) -> str:
    application = release.application
    branch, folder = application.documents_branch, application.documents_folder.strip("/")
    if why := wrong_branch(branch, application):
        raise git.FilesRefused(why)
    top = f"{folder}/" if folder else ""
    files = {f"{top}{release.version}/{row.kind}.md": row.body.rstrip("\n") + "\n" for row in documents}
    message = f"Publish the documents of {release.version}\n"
    who = ("Ringi", f"ringi@{urlsplit(settings.BASE_URL).hostname or 'localhost'}")
    place = place_of(application)
    if git.is_remote(application.repository):
        address, credentials = application.repository, credentials_of(application)
        return git.push_files(
            address, place, branch, files, message=message, who=who, at=now(), credentials=credentials
        )
    return git.commit_files(place, branch, files, message=message, who=who, at=now())
