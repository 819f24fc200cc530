"""Environments, accounts and access in the admin: read here, changed by operations only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.timezone import now
from django.utils.translation import gettext as _t, gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, cell, column
from environments.access import undecided
from environments.admin import people, windows
from environments.admin.rights import rights_of
from environments.difference import HIDDEN
from environments.language import listed
from environments.models import (
    AccessGrant,
    AccessRule,
    Account,
    Application,
    ConfigurationVersion,
    DeploymentTarget,
    Environment,
)
from environments.times import shown, stamp

REGISTERED_BESIDE = (people, windows)


@admin.register(Environment)
class EnvironmentAdmin(ReadOnlyAdmin):
    """Environments."""

    list_display = ("__str__", "tier", "order", "protected", "requires_two_factor", "zone", "purpose_shown")
    lookups = frozenset({"tier__exact"})
    shown_fields = (
        "slug",
        "name_ja",
        "name_en",
        "purpose_ja",
        "purpose_en",
        "tier",
        "order",
        "protected",
        "requires_two_factor",
        "zone",
    )
    hint = _("The release procedure creates the environments when the procedure is put into effect.")

    purpose_shown = cell(str, "purpose", _("purpose"))


@admin.register(Application)
class ApplicationAdmin(ReadOnlyAdmin):
    """Applications."""

    list_display = ("name", "slug", "group", "repository", "tag_format", "retired")
    search_fields = ("name", "slug")
    list_filter = ("group", "retired")
    shown_fields = ("slug", "name", "group", "repository", "tag_format", "allowed_signers", "retired")
    hint = _("An application is a name and the git repository that it comes from.")
    detail_template = "lists/application.html"


class SeenOnly(ReadOnlyAdmin):
    """Rows of an environment, for those whose access shows what is inside it."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave out the environments that the reader's access does not show."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.filter(rights_of(request).seen(Environment.objects.all(), ("environment", "application")))


@admin.register(DeploymentTarget)
class TargetAdmin(SeenOnly):
    """The copies of an application."""

    list_display = ("__str__", "group", "root", "retired")
    list_select_related = ("application", "environment")
    list_filter = ("environment", "retired")
    shown_fields = ("application", "environment", "name", "group", "root", "options", "retired")
    detail_template = "lists/target.html"
    hint = _(
        "A deployment target is the folder of an application in an environment, with the options for running the "
        "application there."
    )


@admin.register(ConfigurationVersion)
class ConfigurationAdmin(SeenOnly):
    """Numbered configurations; secrets are never shown."""

    list_display = ("__str__", "application", "environment", "number", "digest_shown", "created_by", "made")
    list_select_related = ("application", "environment", "created_by")
    list_filter = ("application", "environment")
    shown_fields = ("application", "environment", "number", "keys", "digest", "created_by", "created_at", "reason")
    hint = _("A version is never changed once it is made; a change is a new version.")
    detail_template = "lists/configuration.html"

    digest_shown = cell(lambda v: v[:12], "digest", _("digest"))
    made = cell(stamp, "created_at environment.zone", _("created"), "created_at")

    def extra(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the last look at its services, and the newest versions of the other environments to compare with."""
        rights = rights_of(request).about(row)
        names = {"database": _t("database"), "cache": _t("cache"), "storage": _t("storage")}
        check = row.checks.select_related("checked_by").first()
        newest = ConfigurationVersion.objects.filter(application=row.application_id).exclude(
            environment=row.environment_id
        )
        others = (
            newest.select_related("environment")
            .order_by("environment__order", "-number")
            .distinct("environment__order")
        )
        return {
            "check": check,
            "results": [{**found, "name": names[found["kind"]]} for found in check.results] if check else [],
            "others": [other for other in others if rights.sees(other.environment)],
        }

    @column(_("values"))
    def keys(self, row: ConfigurationVersion) -> dict[str, str]:
        """Return key → value with secrets hidden."""
        return {**row.values, **dict.fromkeys(row.encrypted, HIDDEN)}


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """People and services."""

    list_display = ("display_name", "username", "kind", "affiliation", "job_title", "is_active")
    list_filter = ("kind", "is_active", "provisioned")
    search_fields = ("display_name", "username", "employee_id")
    shown_fields = (
        "username",
        "display_name",
        "kind",
        "affiliation",
        "job_title",
        "employee_id",
        "addresses",
        "telephone",
        "email",
        "language",
        "is_active",
        "break_glass",
        "roles",
        "tokens",
        "enrolled",
        "single_sign_on",
        "provisioned",
        "external_id",
        "invited_by",
        "last_login",
    )
    hint = _("A new account has no permissions until a role is granted to it.")

    @column(_("roles"))
    def roles(self, row: Account) -> str:
        """Return the roles held now."""
        grants = AccessGrant.objects.in_effect().filter(account=row)
        grants = grants.select_related("role", "environment", "application")
        return listed(str(g.role) + (f" ({g.place})" if g.place else "") for g in grants) or _t("none")

    @column(_("enrolled"))
    def enrolled(self, row: Account) -> str:
        """Return since when, and what still keeps the account's deciding roles from counting."""
        if row.kind == Account.Kind.SERVICE:
            return "—"
        invited = _t("invited until %(until)s") % {"until": stamp(row.invited_until)} if row.invitation else ""
        since = stamp(row.enrolled_at) if row.enrolled_at else _t("enrolment not completed")
        return " · ".join(filter(None, [since, invited, undecided(row)]))

    @column(_("single sign-on"))
    def single_sign_on(self, row: Account) -> str:
        """Return who the person is at the identity provider."""
        return listed(f"{one.issuer} · {one.subject}" for one in row.external_identities.all()) or "—"

    addresses = cell(lambda v: listed(v) or "—", "git_addresses", _("git addresses"))

    @column(_("tokens"))
    def tokens(self, row: Account) -> str:
        """Return the tokens that are not revoked, by the beginning of their digest."""
        rows = row.tokens.filter(revoked_at=None).order_by("-pk")
        return listed(f"{token} ({shown(token.expires_at)})" for token in rows) or "—"


@admin.register(AccessRule)
class AccessRuleAdmin(ReadOnlyAdmin):
    """The cells of the access matrix."""

    list_display = ("role", "environment", "level")
    list_select_related = ("role", "environment")
    list_filter = ("environment", "role")
    hint = _("The access matrix comes with the procedure.")


@admin.register(AccessGrant)
class AccessGrantAdmin(ReadOnlyAdmin):
    """Grants of roles: account, environment, since when, by whom."""

    list_display = (
        "account",
        "role",
        "environment",
        "applications",
        "state_now",
        "begins",
        "ends",
        "granted_by",
        "confirmed_by",
        "reason",
    )
    list_select_related = ("account", "role", "environment", "application", "granted_by", "confirmed_by")
    search_fields = ("account__display_name", "account__username", "reason")
    list_filter = (
        "role",
        "environment",
        "application",
        "application_group",
        ("revoked_at", admin.EmptyFieldListFilter),
    )
    ordering = ("-pk",)
    shown_fields = (
        "account",
        "role",
        "environment",
        "applications",
        "state_now",
        "starts_at",
        "until",
        "reason",
        "granted_by",
        "group_role",
        "confirmed_by",
        "confirmed_at",
        "revoked_at",
    )
    hint = _("Roles are granted on the page of an account; a deciding role awaits confirmation by a second person.")

    @column(_("state"))
    def state_now(self, row: AccessGrant) -> str:
        """Return where the grant stands."""
        moment = now()
        if row.revoked_at is not None or (row.until is not None and row.until <= moment):
            return _t("ended")
        if row.confirmed_at is None:
            return _t("waits for a second person")
        return _t("valid now") if row.starts_at <= moment else _t("begins later")

    @column(_("applications"))
    def applications(self, row: AccessGrant) -> str:
        """Return the application or the group for which it counts."""
        return str(row.application or row.application_group or _t("all"))

    begins = cell(stamp, "starts_at", _("from"), "starts_at")
    ends = cell(stamp, "until", _("until"), "until")
