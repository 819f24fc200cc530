"""evidence:upload: a report or a statement about a commit is uploaded (R2)."""

import hashlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted
from environments import access
from environments.language import listed
from environments.models import Account, Application, Environment, sign_in_name
from releases import evidence_readers as reading
from releases.gates.authorship import writers
from releases.gates.quorum import words_for
from releases.models import DeployedVersion, Evidence, Procedure
from releases.models.evidence import FORGE
from releases.queries.commit_people import people
from releases.queries.repository import commit_of
from releases.sources import git

# A time or a number that a tool or a pipeline puts into the name of each new file.
_CHANGING = re.compile(r"\d{4}-\d\d-\d\d([T_-]?\d\d([-:_.]?\d\d)*)?|\d{8,}", re.ASCII)
# The files of one call, and the bytes of all together: they are in memory at the same time.
MOST_FILES, MOST_BYTES = 1000, 5 * reading.LARGEST
# The most readings that the event lists.
MOST_SHOWN = 50


def upload(
    application_id: int,
    *,
    environment_id: int,
    kind: str,
    commit: str,
    files: Sequence[tuple[str, bytes]],
    test_type: str = "",
    suite: str = "",
) -> list[Evidence]:
    """Read files (name, content) and keep all of them with their values, or none: one broken file refuses the call.

    An earlier report of the same suite (without one: the same file name) is superseded when the new ones report again
    about all that it found wrong. The release may come later: evidence belongs to the commit's tree. An author never
    vouches for a review of their own commit.
    """
    application = Application.objects.filter(pk=application_id).first()
    if application is None:
        raise InvalidInput(_("The selected application does not exist."))
    if not Environment.objects.filter(pk=environment_id).exists():
        raise InvalidInput(_("The selected environment does not exist."))
    check_amount([len(content) for _name, content in files])
    if kind == "review" and suite == FORGE:
        raise InvalidInput(_("Ringi reads the reviews of the forge itself. Name another suite."))
    try:
        readings = _read(kind, files)
        repository, seen = commit_of(application, commit)
        authors = _authors(application, repository, seen) if kind == "review" else []
    except (git.SourceUnavailable, git.NoSuchRevision) as fault:
        raise InvalidInput(str(fault))
    _known_type(kind, test_type, application)
    # The application's row is locked, so that two calls are processed one after the other.
    with operation("evidence:upload", (Application, application_id)) as op:
        account = access.require("upload_evidence")
        for read in readings if kind == "review" else ():
            _not_the_author(account, str(read.values["reviewer"]), authors)
        environment = Environment.objects.get(pk=environment_id)
        same = {"application": application, "environment": environment, "kind": kind, "test_type": test_type}
        made, earlier = list[Evidence](), list(Evidence.objects.counting(application.pk, seen.tree).filter(**same))
        held = access.roles_of(account, environment)
        for read in readings if kind == "statement" else ():
            _require_role(str(read.values["subject"]), held, application)
            read.values["roles"] = ", ".join(sorted(held))
            read.values["roles_everywhere"] = ", ".join(sorted(access.counting_roles(account, None)))
        for (name, content), read in zip(files, readings, strict=True):
            row = Evidence.objects.create(
                **same,
                suite=suite or _suite(kind, name),
                tool=read.tool[:200],
                commit=seen.commit,
                tree=seen.tree,
                digest=hashlib.sha256(content).hexdigest(),
                values=read.values,
                summary=read.summary[:300],
                content=content,
                uploaded_by=account,
            )
            made.append(row)
        ended = _supersede(earlier, made, readings)
        for row in made:
            op.about(row)
        op.details.update(
            kind=kind,
            files=len(made),
            readings=[" ".join(filter(None, (row.source, row.summary))) for row in made[:MOST_SHOWN]],
            superseded=[old.pk for old in ended],
        )
    return made


def _require_role(subject: str, held: Collection[str], application: Application) -> None:
    """Refuse a statement about a subject for which the procedure names other roles: it would replace theirs."""
    procedure = Procedure.objects.of(application)
    gates = procedure.document.gates if procedure is not None else ()
    wanted = {role for gate in gates if gate.subject == subject for role in gate.roles}
    if wanted and not wanted & set(held):
        text = _("Only these roles may upload a statement about “%(subject)s”: %(roles)s.")
        raise NotPermitted(text % {"subject": subject, "roles": words_for(wanted)})


def check_amount(sizes: Sequence[int]) -> None:
    """Refuse the files of a call by their number and sizes in bytes, before they are read. Raises InvalidInput."""
    if not 0 < len(sizes) <= MOST_FILES or sum(sizes) > MOST_BYTES:
        text = _("One call takes 1 to %(files)d files of together %(size)d MB. Split them into several calls.")
        raise InvalidInput(text % {"files": MOST_FILES, "size": MOST_BYTES // 1024 // 1024})


def _read(kind: str, files: Sequence[tuple[str, bytes]]) -> list[reading.Reading]:
    readings, faults = [], []
    for name, content in files:
        try:
            readings.append(reading.read(kind, content))
        except reading.BadEvidence as fault:
            faults.append(f"{name}: {fault}" if len(files) > 1 else str(fault))
    if faults:
        raise InvalidInput(*faults)
    return readings


def _suite(kind: str, name: str) -> str:
    """Return the suite of a report: its file's name, without what changes from one file to the next."""
    return _CHANGING.sub("*", name)[-100:] if reading.is_named(kind) else ""


def _supersede(
    earlier: Sequence[Evidence], made: Sequence[Evidence], readings: Sequence[reading.Reading]
) -> list[Evidence]:
    """Supersede earlier reports where the new ones of their suite, taken together, report about the same findings."""
    spoken: dict[str, frozenset[str]] = {}
    newest: dict[str, Evidence] = {}
    for row, read in zip(made, readings, strict=True):
        spoken[row.suite] = spoken.get(row.suite, frozenset()) | read.speaks_of
        newest[row.suite] = row
    ended = []
    for old in earlier:
        if old.suite not in newest:
            continue
        try:
            needed = reading.read(old.kind, bytes(old.content)).must_be_repeated
        except reading.BadEvidence:
            # An older reader took it: it may hold findings that cannot be ruled out.
            continue
        if needed <= spoken[old.suite]:
            old.superseded_by = newest[old.suite]
            old.save(update_fields=["superseded_by"])
            ended.append(old)
    return ended


def _known_type(kind: str, test_type: str, application: Application) -> None:
    """Refuse a type that the procedure does not know: it would fill no cell of its matrix, so a typing error is shown
    at once.
    """
    if kind == "junit" and not test_type:
        raise InvalidInput(_("A test report needs a test type."))
    procedure = Procedure.objects.of(application)
    known = [row.key for row in procedure.document.testing.types] if procedure is not None else []
    if test_type and known and test_type not in known:
        text = _("“%(type)s” is not a test type of the release procedure. Known test types: %(known)s.")
        raise InvalidInput(text % {"type": test_type[:60], "known": listed(known)})


def _authors(application: Application, repository: Path, seen: git.CommitFacts) -> list[str]:
    """Return the addresses of the authors of what the commit adds to the version deployed in production."""
    before = DeployedVersion.in_production(application)
    base = before.commit if before is not None else ""
    return sorted({*seen.authors, *people(git.authors, application, repository, base or None, seen.commit)})


def _not_the_author(account: Account, reviewer: str, authors: list[str]) -> None:
    """Refuse a review that an author uploads, or that names an author as the reviewer."""
    wrote = writers(list(Account.objects.all()), authors)
    if account in wrote:
        raise NotPermitted(_("You wrote a part of this change; another person must upload its review."))
    named = sign_in_name(reviewer)
    names = {sign_in_name(name) for a in wrote for name in (a.username, a.display_name)} | set(authors)
    if named in names or any(f"<{address}>" in named for address in authors):
        raise NotPermitted(_("%(reviewer)s wrote a part of this change and cannot review it.") % {"reviewer": reviewer})
