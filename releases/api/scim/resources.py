"""Users and groups as SCIM shows them, and what becomes of what a client writes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from django.conf import settings
from django.db.models import Model, Prefetch, QuerySet
from django.utils.translation import gettext as _
from pydantic import Field
from scim2_models import (
    URN,
    AuthenticationScheme,
    CaseExact,
    ComplexAttribute,
    ExtensibleStringEnum,
    InvalidValueException,
    Meta,
    Mutability,
    Reference,
    Required,
    Resource,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Uniqueness,
)

from environments.models import KEPT_BY_PROVIDER, Account, ProvisionedGroup
from environments.operations.account.deactivate import deactivate
from environments.operations.account.edit import LANGUAGES
from environments.operations.account.provision import edit_provisioned, end_provisioning, provision
from environments.operations.provisioned_group.put import create_group, delete_group, edit_group

ROOT = "/scim/v2"
MOST = 100


class Email(ComplexAttribute):
    """The mail address; there is one."""

    class Type(ExtensibleStringEnum):
        """What it is for."""

        work = "work"

    value: str | None = None
    type: Type | None = None


class User(Resource[Any]):
    """A person's account. What is required has a default where a client leaves it out."""

    class Language(ExtensibleStringEnum):
        """The languages of the pages."""

        ja = "ja"
        en = "en"

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")
    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    display_name: Annotated[str | None, Required.true] = None
    emails: list[Email] | None = None
    preferred_language: Annotated[Language | None, Required.true] = None
    active: Annotated[bool | None, Required.true] = None


class Member(ComplexAttribute):
    """A member of a group: a user."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    ref: Annotated[Reference["User"] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )


class Group(Resource[Any]):
    """A group with its members."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")
    display_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    members: list[Member] | None = None


# Clients send more attributes than are kept here; Microsoft Entra ID names what it removes in the value, and expects
# that a path such as emails[type eq "work"].value makes the entry.
PROVIDER = ScimProvider(
    models=[User, Group],
    config=ServiceProviderConfig.model_validate(
        {
            "documentationUri": "https://www.rfc-editor.org/rfc/rfc7644",
            "patch": {"supported": True},
            "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
            "filter": {"supported": True, "maxResults": MOST},
            "changePassword": {"supported": False},
            "sort": {"supported": False},
            "etag": {"supported": False},
            "authenticationSchemes": [
                AuthenticationScheme(
                    type=AuthenticationScheme.Type.oauthbearertoken,
                    name="Bearer",
                    description="A token of a service account that has the role for provisioning",
                )
            ],
        }
    ),
    policy=ScimPolicy(
        unknown=ScimPolicy.Unknown.ignore,
        remove_value_as_filter=ScimPolicy.RemoveValue.apply,
        unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
    ),
)


@dataclass(frozen=True)
class Kind:
    """A kind of resource: its rows, the columns by which filters find them, and how they are written.

    defaults: what a client may leave out, from the body and the present resource. create: returns the key of the row.
    put: takes the row, the resource as the client wants it, and as it was when that was made of it.
    """

    model: type[Resource[Any]]
    rows: Callable[[], QuerySet[Any]]
    columns: Mapping[str, str]
    show: Callable[[Any], Resource[Any]]
    defaults: Callable[[dict[str, Any], Any], dict[str, Any]]
    create: Callable[[Any], int]
    put: Callable[[Any, Any, Any], None]
    delete: Callable[[Any], None]

    @property
    def endpoint(self) -> str:
        """Return its path below the root."""
        return f"/{self.model.__name__}s"


def location(endpoint: str, key: object) -> str:
    """Return the address of a resource."""
    return f"{settings.BASE_URL.rstrip('/')}{ROOT}{endpoint}/{key}"


def _meta(kind: str, row: Model, created: Any) -> dict[str, Any]:
    meta = Meta(resource_type=kind, created=created, location=location(f"/{kind}s", row.pk))
    return {"id": str(row.pk), "meta": meta}


def _user(row: Account) -> User:
    return User(
        **_meta("User", row, row.date_joined),
        external_id=row.external_id or None,
        user_name=row.username,
        display_name=row.display_name,
        emails=[Email(value=row.email, type=Email.Type.work)] if row.email else None,
        preferred_language=User.Language(row.language),
        active=row.is_active,
    )


def _user_defaults(body: dict[str, Any], now: User | None) -> dict[str, Any]:
    if now is not None:
        return now.model_dump() | {"emails": None}
    given = body.get("name")
    name = given if isinstance(given, dict) else {}
    parts = " ".join(str(name[part]) for part in ("givenName", "familyName") if name.get(part))
    full = name.get("formatted") or parts or body.get("userName")
    return {"displayName": full, "preferredLanguage": settings.LANGUAGE_CODE, "active": True}


def _of_person(user: User) -> dict[str, Any]:
    kept = sorted((mail for mail in user.emails or [] if mail.value), key=lambda mail: mail.type != Email.Type.work)
    spoken = str(user.preferred_language or "").replace("_", "-").partition("-")[0].lower()
    return {
        "username": user.user_name or "",
        "display_name": user.display_name or "",
        "email": kept[0].value if kept else "",
        "language": spoken if spoken in LANGUAGES else settings.LANGUAGE_CODE,
        "external_id": user.external_id or "",
    }


def _create_user(user: User) -> int:
    account = provision(**_of_person(user))
    if user.active is False:
        _deactivate(account)
    return account.pk


def _put_user(row: Account, user: User, _now: User) -> None:
    # First: a person who leaves has no access, whatever else the provider says of them and is refused.
    if not user.active and row.is_active:
        _deactivate(row)
    edit_provisioned(row.pk, **_of_person(user), active=bool(user.active))


def _delete_user(row: Account) -> None:
    if row.is_active:
        _deactivate(row)
    end_provisioning(row.pk)


def _deactivate(row: Account) -> None:
    deactivate(row.pk, reason=_("The identity provider has ended this account."))


def _group(row: ProvisionedGroup) -> Group:
    members = [Member(value=str(one.pk), ref=Reference[User](location("/Users", one.pk))) for one in row.members.all()]
    return Group(
        **_meta("Group", row, row.created_at),
        external_id=row.external_id or None,
        display_name=row.name,
        members=members or None,
    )


def is_key(text: str) -> bool:
    """Tell whether a text can be the key of a row."""
    return text.isascii() and text.isdigit() and len(text) < 19


def _members(group: Group) -> set[int]:
    members = [member.value or "" for member in group.members or []]
    if unknown := [value for value in members if not is_key(value)]:
        raise InvalidValueException(detail=_("There is no user “%(id)s”.") % {"id": unknown[0][:100]})
    return {int(value) for value in members}


def _of_group(group: Group) -> dict[str, Any]:
    return {"name": group.display_name or "", "external_id": group.external_id or ""}


def _put_group(row: ProvisionedGroup, group: Group, now: Group) -> None:
    had, has = _members(now), _members(group)
    edit_group(row.pk, **_of_group(group), add=has - had, remove=had - has)


def _groups() -> QuerySet[ProvisionedGroup]:
    kept = Account.objects.filter(KEPT_BY_PROVIDER).only("pk").order_by("pk")
    return ProvisionedGroup.objects.prefetch_related(Prefetch("members", kept))


KINDS = (
    Kind(
        User,
        lambda: Account.objects.filter(KEPT_BY_PROVIDER),
        {
            "id": "pk",
            "username": "username__iexact",
            "displayname": "display_name__iexact",
            "externalid": "external_id",
        },
        _user,
        _user_defaults,
        _create_user,
        _put_user,
        _delete_user,
    ),
    Kind(
        Group,
        _groups,
        {"id": "pk", "displayname": "name__iexact", "externalid": "external_id"},
        _group,
        lambda body, now: {} if now is None else {"externalId": now.external_id},
        lambda group: create_group(**_of_group(group), members=_members(group)).pk,
        _put_group,
        lambda row: delete_group(row.pk),
    ),
)
