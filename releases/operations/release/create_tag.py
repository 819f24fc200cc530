"""release:create_tag: Ringi creates the signed tag of a release; no tag is ever moved (V3)."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import label, operation, record_event
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from environments import access
from environments.times import ZONE
from releases.models import Release
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.queries.repository import credentials_of, refreshed
from releases.queries.step_plan import production_of
from releases.sources import git


@dataclass(frozen=True)
class Order:
    """The tag to create: read and permitted inside the operation, created outside of it."""

    release: Release
    message: str
    tagger: str
    address: str


def make_tag(release_id: int, *, reason: str = "") -> Release:
    """Create the tag of a release whose scope is locked: annotated, with version, date and changes, signed.

    It is signed with the key of RINGI_TAG_SIGNING_KEY, which the application's signers must know. A repository on
    another host gets it at once. The order is an event, and so is the tag; a failure between them is recorded. Raises
    NotPermitted, NotPossible, InvalidInput, GateNotPassed.
    """
    order = _ordered(release_id, reason)
    release = order.release
    try:
        key = _key()
        repository = refreshed(release.application)
        if git.tag_object(repository, release.tag):
            raise GateNotPassed(_("There is a tag %(tag)s already; a tag is never moved.") % {"tag": release.tag})
        address = _known_as(release, key)
        made = _make(order, repository, key, order.address or address)
    except GateNotPassed as refused:
        _failed(release, str(refused))
        raise
    except (git.SourceUnavailable, git.NoSuchRevision, git.TagRefused, git.BadKey) as fault:
        _failed(release, str(fault))
        raise GateNotPassed(str(fault)) from fault
    with operation("release:record_tag", (Release, release_id), reason=reason) as op:
        op.about(op.get(Release), tag=release.tag, tag_object=made, commit=release.commit)
    refresh_from_git(release_id)
    return Release.objects.get(pk=release_id)


def message_of(release: Release) -> str:
    """Return the message of a release's tag: version, date of T-0 (else today) and changes."""
    return git.tag_message(release.version, _day(release), [row.text for row in release.changes.all()])


def _ordered(release_id: int, reason: str) -> Order:
    with operation("release:create_tag", (Release, release_id), reason=reason) as op:
        account = access.require("prepare")
        release = op.get(Release)
        if release.state not in Release.FIXED:
            raise NotPossible(_("A tag can be created once the scope is locked and until the release starts."))
        if not settings.TAG_SIGNING_KEY:
            raise InvalidInput(
                _("No key for signing tags is set. Set RINGI_TAG_SIGNING_KEY to the file of a private SSH key.")
            )
        addresses = account.git_addresses or [""]
        order = Order(release, message_of(release), str(account), addresses[0])
        op.about(release, tag=release.tag, commit=release.commit, message=order.message)
    return order


def _day(release: Release) -> date:
    try:
        zone = production_of(release).zone
    except InvalidInput:
        zone = ZONE
    return (release.scheduled_start_at or now()).astimezone(ZoneInfo(zone)).date()


def _key() -> Path:
    key = Path(settings.TAG_SIGNING_KEY)
    git.public_key(key)
    return key


def _known_as(release: Release, key: Path) -> str:
    """Return the name under which the application knows the key; a tag that the gate would refuse is not created."""
    with git.known(release.application.allowed_signers) as signers:
        principal = git.accepted_as(key, signers)
    if not principal:
        line = f'ringi@example namespaces="git" {git.public_key(key)}'
        text = _(
            "The application does not know the key of RINGI_TAG_SIGNING_KEY; its allowed signers need the "
            "line: %(line)s"
        )
        raise GateNotPassed(text % {"line": line})
    return principal


def _make(order: Order, repository: Path, key: Path, address: str) -> str:
    release = order.release

    def make() -> str:
        return git.create_tag(
            repository,
            name=release.tag,
            commit=release.commit,
            message=order.message,
            key=key,
            tagger=order.tagger,
            address=address,
            at=now(),
        )

    application = release.application
    if not git.is_remote(application.repository):
        return make()
    return git.publish(application.repository, repository, release.tag, make, credentials_of(application))


def _failed(release: Release, reason: str) -> None:
    record_event("release:create_tag", object=label(release), outcome="failed", tag=release.tag, reasons=[reason])
