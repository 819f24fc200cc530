"""The access matrix as rows, and the grants that give people their roles (E3)."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.snapshots import Snapshots
from environments.models.account import Account, enrolled
from environments.models.environment import Application, Environment
from environments.models.group_role import GroupRole
from environments.models.role import Role
from environments.roles import LEVEL_CHOICES


class AccessRule(models.Model):
    """One cell of the access matrix: role × environment → level. No row means no."""

    role = models.ForeignKey(
        Role,
        models.PROTECT,
        to_field="key",
        db_column="role",
        db_constraint=False,
        related_name="access_rules",
        verbose_name=_("role"),
    )
    environment = models.ForeignKey(
        Environment, models.PROTECT, related_name="access_rules", verbose_name=_("environment")
    )
    level = models.CharField(_("level"), max_length=20, choices=LEVEL_CHOICES)
    history = Snapshots()
    LOCK_ORDER = 160

    class Meta:
        verbose_name = _("access rule")
        verbose_name_plural = _("access matrix")
        constraints = [models.UniqueConstraint(fields=["role", "environment"], name="access_rule_one_per_cell")]

    def __str__(self) -> str:
        return f"{self.role} · {self.environment} · {self.get_level_display()}"


def of_one_person() -> models.Q:
    """Return the condition on grants that no second person has confirmed, because their roles did not decide: given by
    one, or by a group to an account that one has invited or SCIM has made, or to a person who decided about the group.
    """
    made = models.Q(account__provisioned=True) | models.Q(account__invited_by__isnull=False)
    own = models.Q(group_role__requested_by=models.F("account")) | models.Q(
        group_role__confirmed_by=models.F("account")
    )
    by_group = models.Q(group_role__isnull=False, confirmed_by__isnull=True) & (made | own)
    return models.Q(granted_by__isnull=False, confirmed_by=models.F("granted_by")) | by_group


class AccessGrantQuerySet(models.QuerySet["AccessGrant"]):
    """Queries over grants."""

    def in_effect(
        self, at: datetime | None = None, *, named: Collection[str] | None = None, deciding: Collection[str] = ()
    ) -> "AccessGrantQuerySet":
        """Keep the grants that count now, or at a time to come: begun, not ended, not revoked, of a role in use,
        confirmed where two are needed; a deciding role only of a person who has enrolled.

        named, deciding: the roles that would be in use, and those of them that would decide, under another procedure;
        a grant of one of the latter counts where a second person, or a command, has confirmed it.
        """
        in_use = models.Q(role__state=Role.State.IN_USE) if named is None else models.Q(role__in=named)
        return self.filter(
            models.Q(role__decides=False) & ~models.Q(role__in=deciding) | enrolled("account"),
            ~models.Q(role__in=deciding) | ~of_one_person(),
            in_use,
            models.Q(until__isnull=True) | models.Q(until__gt=at or Now()),
            starts_at__lte=at or Now(),
            revoked_at__isnull=True,
            confirmed_at__isnull=False,
            account__is_active=True,
        )

    def to_review(self) -> "AccessGrantQuerySet":
        """Keep the grants that count now, and those that count again as soon as their person enrols."""
        return self.lasting().filter(role__state=Role.State.IN_USE, starts_at__lte=Now(), confirmed_at__isnull=False)

    def for_application(self, application: int | None) -> "AccessGrantQuerySet":
        """Keep the grants that count for an application, by its key; None: those for all applications."""
        for_all = models.Q(application=None, application_group="")
        if application is None:
            return self.filter(for_all)
        groups = Application.objects.filter(pk=application).exclude(group="").values("group")
        return self.filter(for_all | models.Q(application=application) | models.Q(application_group__in=groups))

    def with_applications(self) -> Any:
        """Add `applications`: the keys of the applications for which a grant counts; None: all."""
        named = models.Q(pk=models.OuterRef("application_id"))
        grouped = models.Q(group=models.OuterRef("application_group")) & ~models.Q(group="")
        keys = ArraySubquery(Application.objects.filter(named | grouped).values("pk"))
        for_all = models.When(application=None, application_group="", then=models.Value(None))
        return self.annotate(applications=models.Case(for_all, default=keys))

    def lasting(self) -> "AccessGrantQuerySet":
        """Keep the grants that count now or could later: also those that begin later or wait for a second person."""
        return self.filter(
            models.Q(until__isnull=True) | models.Q(until__gt=Now()), revoked_at__isnull=True, account__is_active=True
        )


class AccessGrantManager(models.Manager.from_queryset(AccessGrantQuerySet)):  # type: ignore[misc]
    """The grants. What counts now is asked in every operation and on every page, so that query is built once."""

    _now: ClassVar[AccessGrantQuerySet | None] = None

    def in_effect(self, *args: Any, **options: Any) -> AccessGrantQuerySet:
        """Keep the grants that count; see AccessGrantQuerySet."""
        grants: AccessGrantQuerySet = self.get_queryset()
        if args or options or type(self) is not AccessGrantManager:  # those of a row are a part of all
            return grants.in_effect(*args, **options)
        if AccessGrantManager._now is None:
            AccessGrantManager._now = grants.in_effect()
        return AccessGrantManager._now.all()


class AccessGrant(models.Model):
    """A role given to an account, in one environment or all, for one application, a group of them or all, for a time,
    with a reason. Never deleted, only ended.
    """

    account = models.ForeignKey(Account, models.PROTECT, related_name="grants", verbose_name=_("account"))
    role = models.ForeignKey(
        Role,
        models.PROTECT,
        to_field="key",
        db_column="role",
        db_constraint=False,
        related_name="grants",
        verbose_name=_("role"),
    )
    environment = models.ForeignKey(
        Environment, models.PROTECT, null=True, blank=True, related_name="grants", verbose_name=_("environment")
    )
    application = models.ForeignKey(
        Application, models.PROTECT, null=True, blank=True, related_name="grants", verbose_name=_("application")
    )
    application_group = models.SlugField(_("application group"), max_length=60, blank=True)
    starts_at = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("until"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300)
    granted_by = models.ForeignKey(
        Account, models.PROTECT, null=True, related_name="grants_given", verbose_name=_("granted by")
    )
    confirmed_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="grants_confirmed", verbose_name=_("confirmed by")
    )
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    # What gave it, where no person did: it ends with the membership in the group.
    group_role = models.ForeignKey(
        GroupRole, models.PROTECT, null=True, blank=True, related_name="grants", verbose_name=_("by group")
    )
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    history = Snapshots()

    objects: ClassVar[AccessGrantManager] = AccessGrantManager()
    LOCK_ORDER = 3

    class Meta:
        verbose_name = _("grant")
        verbose_name_plural = _("grants")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(granted_by__isnull=True) | ~models.Q(granted_by=models.F("account")),
                name="grant_not_to_oneself",
            ),
            models.CheckConstraint(
                condition=models.Q(application__isnull=True) | models.Q(application_group=""),
                name="grant_for_an_application_or_a_group",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} · {self.role}"

    @property
    def place(self) -> str:
        """Return where it counts, in words: its environment and its application or group; empty for everywhere."""
        return " · ".join(str(part) for part in (self.environment, self.application or self.application_group) if part)
