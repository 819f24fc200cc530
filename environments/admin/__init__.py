"""Environments, accounts and access in the admin: read here, changed by verbs only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.timezone import now
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, column
from environments.admin import people, windows
from environments.admin.rights import rights_of
from environments.models import (
    AccessGrant,
    AccessRule,
    Account,
    Application,
    ConfigurationVersion,
    Environment,
    Target,
)
from environments.times import shown, stamp

HIDDEN = "•••"
REGISTERED_BESIDE = (people, windows)


@admin.register(Environment)
class EnvironmentAdmin(ReadOnlyAdmin):
    """Where applications run."""

    list_display = ("__str__", "tier", "order", "protected", "demands_mfa", "zone", "purpose_shown")
    lookups = frozenset({"tier__exact"})
    shown_fields = ("slug", "name_ja", "name_en", "purpose_ja", "purpose_en", "tier", "order", "protected",
                    "demands_mfa", "zone")  # fmt: skip
    hint = _("Environments are laid out by the procedure when it is activated.")

    @column(_("purpose"))
    def purpose_shown(self, row: Environment) -> str:
        """Return the purpose."""
        return row.purpose


@admin.register(Application)
class ApplicationAdmin(ReadOnlyAdmin):
    """What is released."""

    list_display = ("name", "slug", "repository", "tag_format")
    shown_fields = ("slug", "name", "repository", "tag_format", "signers")
    hint = _("An application is a name and the git repository that it comes from.")


class SeenOnly(ReadOnlyAdmin):
    """Rows of an environment, for those whose access shows what is inside it."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave out the environments that the reader's access does not show."""
        rights = rights_of(request)
        seen = [e.pk for e in Environment.objects.all() if rights.sees(e)]
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.filter(environment__in=seen)


@admin.register(Target)
class TargetAdmin(SeenOnly):
    """The copies of an application."""

    list_display = ("__str__", "root")
    list_select_related = ("application", "environment")
    list_filter = ("environment",)
    lookups = frozenset({"environment__id__exact"})
    shown_fields = ("application", "environment", "root", "settings")
    detail_template = "ringi/target.html"
    hint = _("A target is the folder of an application in an environment, and how it is run there.")


@admin.register(ConfigurationVersion)
class ConfigurationAdmin(SeenOnly):
    """Numbered configurations; secrets are never shown."""

    list_display = ("__str__", "application", "environment", "number", "digest_shown", "created_by", "made")
    list_select_related = ("application", "environment", "created_by")
    list_filter = ("application", "environment")
    lookups = frozenset({"application__id__exact", "environment__id__exact"})
    shown_fields = ("application", "environment", "number", "keys", "digest", "created_by", "created_at", "reason")
    hint = _("A version is never changed once it is made; a change is a new version.")
    detail_template = "ringi/configuration.html"

    @column(_("digest"))
    def digest_shown(self, row: ConfigurationVersion) -> str:
        """Return the beginning of the digest."""
        return row.digest[:12]

    @column(_("created"), "created_at")
    def made(self, row: ConfigurationVersion) -> str:
        """Return when it was made."""
        return stamp(row.created_at, row.environment.zone)

    def extra(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the last look at its services, and the newest versions of the other environments to compare with."""
        rights = rights_of(request)
        names = {"database": _t("database"), "cache": _t("cache"), "storage": _t("storage")}
        check = row.checks.select_related("by").first()
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
        return {**row.values, **dict.fromkeys(row.sealed, HIDDEN)}


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """People and services."""

    list_display = ("display_name", "username", "kind", "affiliation", "job_title", "is_active")
    list_filter = ("kind", "is_active")
    lookups = frozenset({"kind__exact", "is_active__exact"})
    search_fields = ("display_name", "username", "employee_id")
    shown_fields = ("username", "display_name", "kind", "affiliation", "job_title", "employee_id", "addresses",
                    "telephone", "email", "language", "is_active", "roles", "tokens", "must_change_password", "pending_by",
                    "factors_pending_by", "last_login")  # fmt: skip
    hint = _("A new account has no right until a role is given to it.")

    @column(_("roles"))
    def roles(self, row: Account) -> str:
        """Return the roles held now."""
        grants = AccessGrant.objects.in_force().filter(account=row).select_related("environment")
        return ", ".join(
            str(g.get_role_display()) + (f" ({g.environment})" if g.environment else "") for g in grants
        ) or _t("none")

    @column(_("git addresses"))
    def addresses(self, row: Account) -> str:
        """Return the addresses by which commits are known to be this person's."""
        return ", ".join(row.git_addresses) or "—"

    @column(_("tokens"))
    def tokens(self, row: Account) -> str:
        """Return the tokens that are not revoked, by the beginning of their digest."""
        rows = row.tokens.filter(revoked_at=None).order_by("-pk")
        return ", ".join(f"{token} ({shown(token.expires_at)})" for token in rows) or "—"


@admin.register(AccessRule)
class AccessRuleAdmin(ReadOnlyAdmin):
    """The cells of the access matrix."""

    list_display = ("role", "environment", "level")
    list_select_related = ("environment",)
    list_filter = ("environment", "role")
    lookups = frozenset({"environment__id__exact", "role__exact"})
    hint = _("The access matrix comes with the procedure.")


@admin.register(AccessGrant)
class AccessGrantAdmin(ReadOnlyAdmin):
    """Who holds which role, since when, by whom."""

    list_display = (
        "account",
        "role",
        "environment",
        "state_now",
        "begins",
        "ends",
        "granted_by",
        "confirmed_by",
        "reason",
    )
    list_select_related = ("account", "environment", "granted_by", "confirmed_by")
    search_fields = ("account__display_name", "account__username", "reason")
    list_filter = ("role", "environment", ("withdrawn_at", admin.EmptyFieldListFilter))
    lookups = frozenset({"role__exact", "environment__id__exact", "withdrawn_at__isempty"})
    ordering = ("-pk",)
    shown_fields = ("account", "role", "environment", "state_now", "begins_at", "until", "reason", "granted_by",
                    "confirmed_by", "confirmed_at", "withdrawn_at")  # fmt: skip
    hint = _("Roles are given on the page of an account; a deciding role waits for a second person.")

    @column(_("state"))
    def state_now(self, row: AccessGrant) -> str:
        """Return where the grant stands."""
        moment = now()
        if row.withdrawn_at is not None or (row.until is not None and row.until <= moment):
            return _t("ended")
        if row.confirmed_at is None:
            return _t("waits for a second person")
        return _t("valid now") if row.begins_at <= moment else _t("begins later")

    @column(_("from"), "begins_at")
    def begins(self, row: AccessGrant) -> str:
        """Return when it begins."""
        return stamp(row.begins_at)

    @column(_("until"), "until")
    def ends(self, row: AccessGrant) -> str:
        """Return when it ends."""
        return stamp(row.until)
