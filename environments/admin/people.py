"""Tokens, requests for access, reviews and delegates in the admin: read here, changed by operations only."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _t, gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, cell, column
from environments.admin.rights import rights_of
from environments.difference import changes
from environments.language import listed
from environments.models import (
    AccessRequest,
    AccessReview,
    Account,
    Delegation,
    Environment,
    GroupRole,
    ProvisionedGroup,
    RequestedChange,
    Token,
)
from environments.times import shown, stamp


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    """Keys of service accounts; what is stored is a digest, and only its beginning is shown."""

    list_display = ("__str__", "account", "state_now", "made", "ends", "reach")
    list_select_related = ("account",)
    list_filter = ("account", ("revoked_at", admin.EmptyFieldListFilter))
    ordering = ("-pk",)
    shown_fields = ("account", "issuer", "subject", "state_now", "reach", "created_at", "expires_at", "revoked_at")
    hint = _(
        "A token is issued on the page of a service account and shown once. Only the digest of the token is stored."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Fetch the environments of all rows together."""
        return super().get_queryset(request).prefetch_related("environments")

    @column(_("state"))
    def state_now(self, row: Token) -> str:
        """Return whether the token works."""
        if row.revoked_at is not None:
            return _t("revoked")
        if row.expires_at <= now():
            return _t("expired")
        return _t("valid now") if row.account.is_active else _t("the account is deactivated")

    made = cell(stamp, "created_at", _("created"), "created_at")
    ends = cell(stamp, "expires_at", _("expires"), "expires_at")

    @column(_("environments"))
    def reach(self, row: Token) -> str:
        """Return where it reaches."""
        return listed(str(environment) for environment in row.environments.all()) or _t("none")


@admin.register(GroupRole)
class GroupRoleAdmin(ReadOnlyAdmin):
    """Roles that membership in a group at the identity provider gives."""

    list_display = ("__str__", "environment", "applications", "state_now", "requested_by", "confirmed_by", "reason")
    list_select_related = ("role", "environment", "application", "requested_by", "confirmed_by")
    list_filter = ("role", "environment", ("ended_at", admin.EmptyFieldListFilter))
    shown_fields = (
        "group",
        "role",
        "environment",
        "applications",
        "state_now",
        "reason",
        "requested_by",
        "requested_at",
        "confirmed_by",
        "confirmed_at",
        "ended_at",
    )
    hint = _(
        "The members of a group at the identity provider have its role from their next sign-in. After they have left "
        "the group, the next sign-in ends it; for a provisioned group, SCIM gives and ends it at once. Two "
        "administrators decide which role."
    )

    @column(_("applications"))
    def applications(self, row: GroupRole) -> str:
        """Return for which applications it counts."""
        return str(row.application or row.application_group or _t("all"))

    @column(_("state"))
    def state_now(self, row: GroupRole) -> str:
        """Return where it stands."""
        if row.ended_at is not None:
            return _t("ended")
        return _t("valid now") if row.confirmed_at is not None else _t("waits for a second person")


@admin.register(ProvisionedGroup)
class ProvisionedGroupAdmin(ReadOnlyAdmin):
    """Groups of the identity provider that it keeps here."""

    list_display = ("name", "external_id", "people")
    search_fields = ("name",)
    ordering = ("name",)
    shown_fields = ("name", "external_id", "people", "created_at")
    hint = _("The identity provider keeps these groups and their members by SCIM. Roles of groups give them roles.")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Fetch the members of all rows together."""
        return super().get_queryset(request).prefetch_related("members")

    @column(_("members"))
    def people(self, row: ProvisionedGroup) -> str:
        """Return the members by name."""
        return listed(str(account) for account in row.members.all()) or _t("none")


@admin.register(AccessRequest)
class AccessRequestAdmin(ReadOnlyAdmin):
    """Access requests: by whom, for how long, and their outcome."""

    list_display = ("__str__", "hours", "state_now", "asked", "decided_by", "reason")
    list_select_related = ("account", "role", "environment", "application", "decided_by", "grant")
    list_filter = ("role", "environment", ("decided_at", admin.EmptyFieldListFilter))
    shown_fields = (
        "account",
        "role",
        "environment",
        "application",
        "hours",
        "reason",
        "asked",
        "state_now",
        "decided_by",
        "answer",
        "grant",
    )
    hint = _(
        "A person with a role can request another role for some hours. Another person grants the role, and the "
        "grant ends automatically."
    )

    @column(_("state"))
    def state_now(self, row: AccessRequest) -> str:
        """Return what became of it."""
        if row.decided_at is None:
            return _t("awaiting a response")
        if row.grant is None:
            return _t("rejected")
        if row.grant.confirmed_at is None and row.grant.revoked_at is None:
            return _t("waits for a second person")
        return _t("granted until %(until)s") % {"until": shown(row.grant.revoked_at or row.grant.until)}

    asked = cell(stamp, "requested_at", _("requested"), "requested_at")


@admin.register(AccessReview)
class AccessReviewAdmin(ReadOnlyAdmin):
    """The periodic reviews of every grant; each has a page of its own."""

    list_display = ("__str__", "opened_by", "opened", "due", "closed", "reason")
    list_select_related = ("opened_by",)
    hint = _(
        "An administrator opens an access review on the page of the access matrix. Each grant is kept or revoked "
        "in the review."
    )

    def detail(self, request: HttpRequest, row: Model) -> HttpResponse:
        """Send to the page of the review."""
        return HttpResponseRedirect(reverse("review", args=[row.pk]))

    opened = cell(stamp, "opened_at", _("opened"), "opened_at")
    due = cell(stamp, "due_at", _("due"), "due_at")
    closed = cell(stamp, "closed_at", _("closed"), "closed_at")


@admin.register(Delegation)
class DelegationAdmin(ReadOnlyAdmin):
    """Delegations."""

    list_display = ("delegator", "delegate", "state_now", "begins", "ends", "requested_by", "confirmed_by", "reason")
    list_select_related = ("delegator", "delegate", "requested_by", "confirmed_by")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    shown_fields = (
        "delegator",
        "delegate",
        "state_now",
        "begins",
        "ends",
        "reason",
        "requested_by",
        "confirmed_by",
        "confirmed_at",
        "revoked_at",
    )
    hint = _(
        "A delegate approves in their own name for an absent person, after a third person has confirmed the delegation."
    )

    @column(_("state"))
    def state_now(self, row: Delegation) -> str:
        """Return where it stands."""
        moment = now()
        if row.revoked_at is not None or row.until <= moment:
            return _t("ended")
        if row.confirmed_at is None:
            return _t("awaiting confirmation by a third person")
        return _t("valid now") if row.starts_at <= moment else _t("begins later")

    begins = cell(stamp, "starts_at", _("from"), "starts_at")
    ends = cell(stamp, "until", _("until"), "until")


@admin.register(RequestedChange)
class RequestedChangeAdmin(ReadOnlyAdmin):
    """Changes that need a second person, and their outcome."""

    list_display = ("__str__", "event", "state_now", "requested_by", "requested", "decided_by", "reason")
    list_select_related = (
        "target__application",
        "target__environment",
        "account",
        "environment",
        "requested_by",
        "decided_by",
    )
    list_filter = (("decided_at", admin.EmptyFieldListFilter),)
    ordering = ("-pk",)
    shown_fields = (
        "event",
        "target",
        "account",
        "environment",
        "state_now",
        "requested_by",
        "requested",
        "decided_by",
        "reason",
        "differences",
    )
    hint = _(
        "A change to what production runs, or to a person's identity, takes effect after a second person has "
        "confirmed the change."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave out what belongs to environments that the reader's access does not show."""
        seen = rights_of(request).seen(Environment.objects.all(), ("environment", "application"))
        return super().get_queryset(request).filter(Q(environment=None) | seen)

    @column(_("state"))
    def state_now(self, row: RequestedChange) -> str:
        """Return what became of it."""
        if row.decided_at is None:
            return _t("waits for a second person")
        return _t("confirmation given") if row.confirmed else _t("rejected")

    requested = cell(stamp, "requested_at", _("requested"), "requested_at")

    @column(_("changes"))
    def differences(self, row: RequestedChange) -> dict[str, str]:
        """Return each value that changes, before and after."""
        return dict(differences_of(row))


def differences_of(row: RequestedChange) -> list[tuple[str, str]]:
    """Return the values that a requested change changes: name, and value before and after."""
    names = {field.name: str(field.verbose_name) for field in Account._meta.fields if row.account_id is not None}
    return [(names.get(key, key), f"{left} → {right}") for key, left, right in changes(row.before, row.after)]
