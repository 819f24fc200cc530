"""Verbs on applications, versions and tags: repository, version, signed tag, import of past releases."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from audit.refusals import OperationRefused
from environments import access
from environments.admin.rights import read_rights
from environments.application_scope import within
from environments.models import Application
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import LinesField, length, text
from releases.models import Artefact, Procedure, Release, ReleaseImport
from releases.operations.application.create import create_application
from releases.operations.application.edit import edit
from releases.operations.application.retire import reinstate, retire
from releases.operations.application.set_allowed_signers import set_allowed_signers
from releases.operations.application.set_forge import set_forge
from releases.operations.application.set_publication import set_publication
from releases.operations.artefact.register import register
from releases.operations.release import create_tag, import_past, set_version
from releases.operations.target.test import unreadable
from releases.queries.repository import credentials_of
from releases.sources import git, versions

Fields = Mapping[str, forms.Field]


MOST_HINTS = 8


def with_hint(field: forms.CharField, release: Any = None) -> forms.CharField:
    """Put the deployed version of the release's application, or without one of each, and the version that would follow,
    below a version field; of more than MOST_HINTS applications none.
    """
    if isinstance(release, Release):
        field.help_text = _hint([release.application])
    else:
        seen = read_rights(access.current_account()).applications
        found = list(within(Application.objects.filter(retired=False), seen)[: MOST_HINTS + 1])
        field.help_text = _hint(found) if len(found) <= MOST_HINTS else ""
    return field


def _hint(applications: list[Application]) -> str:
    lines = []
    for application in applications:
        row = set_version.next_versions(application)
        named = {"application": application, "version": row.in_force or "—"}
        named |= {"patch": row.patch, "minor": row.minor, "major": row.major}
        lines.append(
            gettext(
                "%(application)s (deployed: %(version)s): %(patch)s for fixes, %(minor)s for new features, "
                "%(major)s for breaking changes."
            )
            % named
            if row.in_force
            else gettext("%(application)s: no version is deployed yet; %(major)s would be the first.") % named
        )
    return " ".join(lines)


def _version(instance: Any) -> Fields:
    field = text(gettext_lazy("version (empty: the suggested one)"), required=False)
    return {"version": field, "reason": text(gettext_lazy("reason"), required=False)}


def _suggestion(release: Release) -> list[tuple[str, str]]:
    try:
        fitting = set_version.for_release(release)
    except OperationRefused as refused:
        fitting = str(refused)
    return [
        (gettext("now"), release.version),
        (gettext("deployed in production"), set_version.deployed_version(release.application) or "—"),
        (gettext("suggested by the changes"), fitting),
        (gettext("reasons for mismatch"), " ".join(set_version.wrong(release)) or gettext("nothing")),
    ]


def _message(release: Release) -> list[tuple[str, str]]:
    first, *rest = create_tag.message_of(release).strip().splitlines()
    return [
        (gettext("tag"), release.tag),
        (gettext("commit"), release.commit),
        (gettext("tag message"), first),
        (gettext("changes"), " · ".join(line.removeprefix("- ") for line in rest if line)),
    ]


def _signers(instance: Any) -> Fields:
    known = instance.allowed_signers if isinstance(instance, Application) else ""
    field = text(gettext_lazy("allowed signers"), rows=8, initial=known)
    field.help_text = gettext_lazy(
        "Enter one SSH key per line, as Git reads it. Enter armoured PGP public keys unchanged, and the PEM public "
        "keys of cosign that sign artefacts."
    )
    return {"signers": field, "reason": text(gettext_lazy("reason"))}


def _artefact(instance: Any) -> Fields:
    fields: dict[str, forms.Field] = {
        "commit": text(gettext_lazy("commit")),
        "kind": forms.ChoiceField(label=gettext_lazy("type"), choices=Artefact.Kind.choices),
        "reference": text(gettext_lazy("address of the file, or name of the image")),
        "digest": text("SHA-256"),
        "signature": text(gettext_lazy("signature by cosign (base64)"), required=False, rows=3),
        "signed_payload": text(gettext_lazy("signed text of an image"), required=False, rows=5),
    }
    return fields


def _application(instance: Any) -> Fields:
    fields = _place(Application(tag_format=_usual_format()))
    return {
        "slug": forms.SlugField(label=gettext_lazy("key"), max_length=length(Application, "slug")),
        **fields,
        "group": forms.SlugField(
            label=gettext_lazy("application group"),
            max_length=length(Application, "group"),
            required=False,
            help_text=gettext_lazy("A key that the applications of a team share. A grant may name it. It stays."),
        ),
        "signers": text(gettext_lazy("allowed signers"), required=False, rows=4),
    }


def _edited(instance: Any) -> Fields:
    known = instance if isinstance(instance, Application) else Application()
    return {**_place(known), "reason": text(gettext_lazy("reason"))}


def _publication(instance: Any) -> Fields:
    known = instance if isinstance(instance, Application) else Application()
    words = gettext_lazy("Enter a separate branch, such as ringi/documents. If empty, nothing is committed.")
    branch = text(gettext_lazy("branch"), required=False, initial=known.documents_branch)
    branch.help_text = words
    return {
        "branch": branch,
        "folder": text(gettext_lazy("folder"), required=False, initial=known.documents_folder),
        "reason": text(gettext_lazy("reason")),
    }


def _forge(instance: Any) -> Fields:
    known = instance if isinstance(instance, Application) else Application()
    choices = [("", "—"), *Application._meta.get_field("forge").flatchoices]  # type: ignore[union-attr]
    url = text(gettext_lazy("address of the interface"), required=False, initial=known.forge_url)
    url.help_text = gettext_lazy(
        "Such as https://api.github.com or https://gitlab.example.org. Enter the token as the secret FORGE_TOKEN of "
        "the configuration."
    )
    tickets = text(gettext_lazy("formats of tickets"), required=False, initial=known.ticket_formats)
    tickets.help_text = gettext_lazy("Separated by spaces, such as #{number} PROJECT-{number}.")
    return {
        "forge": forms.ChoiceField(label=gettext_lazy("forge"), choices=choices, required=False, initial=known.forge),
        "url": url,
        "project": text(gettext_lazy("project"), required=False, initial=known.forge_project),
        "tickets": tickets,
        "reason": text(gettext_lazy("reason")),
    }


def _place(known: Application) -> Fields:
    return {
        "name": text(gettext_lazy("name"), most=length(Application, "name"), initial=known.name),
        "repository": _repository(known.repository),
        "tag_format": text(
            gettext_lazy("tag format"), most=length(Application, "tag_format"), initial=known.tag_format
        ),
    }


def _usual_format() -> str:
    """Return the tag format of the organisation's procedure."""
    procedure = Procedure.objects.of(None)
    return procedure.document.versions.tag_format if procedure is not None else f"v{versions.PLACE}"


def _repository(known: str) -> forms.CharField:
    """Return a field for a path or an address of a repository; an invalid one is refused before it is stored."""
    field = text(gettext_lazy("repository"), most=length(Application, "repository"), initial=known)
    field.help_text = gettext_lazy("Enter a path on this server, or an https, ssh or file address without a password.")
    field.validators.append(_fits)
    return field


def _fits(repository: str) -> None:
    if wrong := git.wrong_address(repository.strip()):
        raise forms.ValidationError(wrong)


def _unreadable(instance: Any, values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return why the repository cannot be read now; empty where it can be read, or is the previous one."""
    known = instance if isinstance(instance, Application) else None
    if known is not None and known.repository == values["repository"]:
        return []
    why = unreadable(values["repository"], credentials_of(known) if known is not None else None)
    advice = gettext(
        "Correct the address. If you add the credentials later, with the configuration, save the address unchanged."
    )
    return [(gettext("repository"), f"{why}\n{advice}")] if why else []


def _patterns(instance: Any) -> Fields:
    pattern = instance.tag_format if isinstance(instance, Application) else f"v{versions.PLACE}"
    return {
        "patterns": LinesField(
            label=gettext_lazy("patterns of tags"),
            initial=pattern,
            help_text=gettext_lazy(
                "Enter one pattern per line, with {version} in the version's place, such as ckan-{version}."
            ),
        ),
        "reason": text(gettext_lazy("reason")),
    }


on_release = partial(Verb, "release")
on_application = partial(Verb, "application", rights=("plan",), signs=True, model=Application)
VERBS: tuple[Verb, ...] = (
    on_release(
        "set_version",
        gettext_lazy("Choose version"),
        set_version.set_version,
        ("plan", "prepare"),
        model=Release,
        fields=_version,
        states=frozenset({"draft"}),
        shows=_suggestion,
    ),
    on_release(
        "create_tag",
        gettext_lazy("Create signed tag"),
        create_tag.make_tag,
        ("prepare",),
        model=Release,
        fields=lambda instance: {"reason": text(gettext_lazy("reason"), required=False)},
        states=frozenset(Release.FIXED),
        shows=_message,
    ),
    on_release(
        "read_tags",
        gettext_lazy("Find past releases"),
        import_past.request,
        ("plan",),
        model=Application,
        fields=_patterns,
    ),
    on_release(
        "import_past_releases",
        gettext_lazy("Import past releases"),
        import_past.confirm,
        ("plan",),
        model=ReleaseImport,
        over=import_past.not_ready,
    ),
    on_application(
        "create",
        gettext_lazy("Create application"),
        create_application,
        fields=_application,
        preview=_unreadable,
        looks=True,
        warns=True,
        makes=Application,
        from_file=True,
        model=None,
    ),
    on_application(
        "edit",
        gettext_lazy("Change name and repository"),
        edit,
        fields=_edited,
        preview=_unreadable,
        looks=True,
        warns=True,
    ),
    on_application("set_publication", gettext_lazy("Set document branch"), set_publication, fields=_publication),
    on_application("set_forge", gettext_lazy("Set forge"), set_forge, fields=_forge, for_all=True),
    Verb(
        "artefact",
        "register",
        gettext_lazy("Register artefact"),
        register,
        ("upload_evidence",),
        model=Application,
        fields=_artefact,
    ),
    on_application(
        "retire",
        gettext_lazy("Retire application"),
        retire,
        danger=True,
        over=lambda row: gettext("%(name)s is already retired.") % {"name": row} if row.retired else "",
    ),
    on_application(
        "reinstate",
        gettext_lazy("Reinstate application"),
        reinstate,
        over=lambda row: "" if row.retired else gettext("%(name)s is in use.") % {"name": row},
    ),
    on_application("set_allowed_signers", gettext_lazy("Change allowed signers"), set_allowed_signers, fields=_signers),
)
