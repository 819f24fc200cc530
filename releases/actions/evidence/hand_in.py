"""evidence:hand_in: take in a report or a statement about a commit (R2)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid, NotYou
from environments import access
from environments.models import Account, Application, Environment, sign_in_name
from releases.actions.release.repository import holding
from releases.models import Evidence, InForce, Procedure
from releases.sources import evidence as reading
from releases.sources import git


def hand_in(
    application_id: int, *, environment_id: int, kind: str, commit: str, content: bytes, test_type: str = ""
) -> Evidence:
    """Read a file and keep it with its values; the same file twice is one evidence. A broken one becomes none.

    The release may come later: evidence belongs to the commit's tree. A review is never vouched for by its author.
    """
    application = Application.objects.filter(pk=application_id).first()
    if application is None:
        raise Invalid(_("There is no such application."))
    if not Environment.objects.filter(pk=environment_id).exists():
        raise Invalid(_("There is no such environment."))
    try:
        read = reading.read(kind, content)
        repository = holding(application, commit)
        seen = git.commit_facts(repository, commit)
        authors = _authors(application, repository, seen) if kind == "review" else []
    except (git.SourceUnavailable, git.NoSuchRevision, reading.BadEvidence) as fault:
        raise Invalid(str(fault))
    _known_type(kind, test_type)
    digest = hashlib.sha256(content).hexdigest()
    # The application's row is locked, so that two callers with the same file come one after the other.
    with change("evidence:hand_in", (Application, application_id)) as act:
        account = access.require("evidence")
        if kind == "review":
            _not_the_author(account, str(read.values["reviewer"]), authors)
        environment = Environment.objects.get(pk=environment_id)
        found = Evidence.objects.filter(
            application=application,
            environment=environment,
            kind=kind,
            test_type=test_type,
            tree=seen.tree,
            digest=digest,
        ).first()
        made = found or Evidence.objects.create(
            application=application,
            environment=environment,
            kind=kind,
            test_type=test_type,
            commit=seen.commit,
            tree=seen.tree,
            digest=digest,
            values=read.values,
            sentence=read.sentence[:300],
            content=content,
            handed_in_by=account,
        )
        act.about(made, kind=kind, reading=read.sentence, again=found is not None)
    return made


def _known_type(kind: str, test_type: str) -> None:
    """A type that the procedure does not know would fill no cell of its matrix, so a slip is told at once."""
    if kind == "junit" and not test_type:
        raise Invalid(_("A test report names its test type."))
    procedure = Procedure.objects.filter(state="active").first()
    known = [row.key for row in procedure.document.testing.types] if procedure is not None else []
    if test_type and known and test_type not in known:
        raise Invalid(
            _("“%(type)s” is not a test type of the procedure: %(known)s.")
            % {"type": test_type[:60], "known": ", ".join(known)}
        )


def _authors(application: Application, repository: Path, seen: git.CommitFacts) -> list[str]:
    """Return the addresses of who wrote what the commit brings beyond what is in force in production."""
    pointer = (
        InForce.objects.filter(application=application, environment__tier=Environment.Tier.PRODUCTION)
        .select_related("release")
        .first()
    )
    base = pointer.release.commit if pointer is not None and pointer.release is not None else ""
    return sorted({*seen.authors, *git.authors(repository, base or None, seen.commit)})


def _not_the_author(account: Account, reviewer: str, authors: list[str]) -> None:
    """Refuse a review that an author hands in, or that names an author as the reviewer."""
    wrote = [a for a in Account.objects.all() if {str(g).lower() for g in a.git_addresses} & set(authors)]
    if account.person_key in {a.person_key for a in wrote} or {str(g).lower() for g in account.git_addresses} & set(
        authors
    ):
        raise NotYou(_("You have written a part of this; another person hands in its review."))
    named = sign_in_name(reviewer)
    names = {sign_in_name(name) for a in wrote for name in (a.username, a.display_name)} | set(authors)
    if named in names or any(f"<{address}>" in named for address in authors):
        raise NotYou(_("%(reviewer)s has written a part of this and does not review it.") % {"reviewer": reviewer})
