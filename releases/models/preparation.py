"""Preparation before T-0: milestones, checklist, team and the final check (P3, P4, J2)."""

from django.db import models
from django.utils.translation import get_language, gettext_lazy as _

from environments.language import labelled, noted
from environments.models import Account
from releases.models.release import Release


class Labelled(models.Model):
    """A row whose labels come from the procedure in both languages."""

    label_ja = models.CharField(_("label (Japanese)"), max_length=200)
    label_en = models.CharField(_("label (English)"), max_length=200)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.label_ja if get_language() == "ja" else self.label_en


class Milestone(Labelled):
    """A date counted back from T-0; until it is done it blocks the edge that it guards."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="milestones", verbose_name=_("release"))
    key = models.CharField(_("key"), max_length=60)
    guards = models.CharField(_("guarded operation"), max_length=20)
    due_at = models.DateTimeField(_("due"))
    due_immediately = models.BooleanField(_("due immediately (rescheduled)"), default=False)
    was_late = models.BooleanField(_("overdue before T-0 was rescheduled"), default=False)
    reminded = models.JSONField(_("reminders sent (hours before)"), default=list, blank=True)
    done_at = models.DateTimeField(_("done"), null=True, blank=True)
    done_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("done by")
    )

    class Meta:
        verbose_name = _("milestone")
        verbose_name_plural = _("milestones")
        ordering = ["due_at", "pk"]
        constraints = [models.UniqueConstraint(fields=["release", "key"], name="milestone_once")]


class ChecklistItem(Labelled):
    """One item of the procedure's checklist, signed by a person with evidence (P4)."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="checklist", verbose_name=_("release"))
    group = models.CharField(_("group"), max_length=20)
    key = models.CharField(_("key"), max_length=60)
    signed_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("signed by")
    )
    signed_at = models.DateTimeField(_("signed"), null=True, blank=True)
    evidence = models.CharField(_("evidence"), max_length=300, blank=True)
    LOCK_ORDER = 59

    class Meta:
        verbose_name = _("checklist item")
        verbose_name_plural = _("checklist items")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["release", "group", "key"], name="checklist_item_once")]


class TeamMember(models.Model):
    """A member's role in the production deployment, with a telephone number (体制・連絡網)."""

    class TeamRole(models.TextChoices):
        IMPLEMENTER = "implementer", _("Implementer")
        VERIFIER = "verifier", _("Verifier")
        RELEASE_LEAD = "release_lead", _("Release lead")
        ROLLBACK_DECISION_MAKER = "rollback_decision_maker", _("Rollback decision maker")

    release = models.ForeignKey(Release, models.CASCADE, related_name="team_members", verbose_name=_("release"))
    team_role = models.CharField(_("team role"), max_length=24, choices=TeamRole)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("person"))
    telephone = models.CharField(_("telephone"), max_length=40)

    class Meta:
        verbose_name = _("team member")
        verbose_name_plural = _("release team")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["release", "team_role"], name="team_member_role_once")]

    def __str__(self) -> str:
        return labelled(self.get_team_role_display(), self.account)


class FinalCheck(models.Model):
    """One of the two signatures of the T-1 final check, with each fact as it was measured then."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="final_checks", verbose_name=_("release"))
    role = models.CharField(_("role"), max_length=60)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("person"))
    facts = models.JSONField(_("facts"))
    scheduled_start_at = models.DateTimeField(_("window opens"))
    signature = models.JSONField(_("signature"))
    signed_at = models.DateTimeField(_("signed"))
    invalidated_at = models.DateTimeField(_("invalidated"), null=True, blank=True)

    class Meta:
        verbose_name = _("final check")
        verbose_name_plural = _("final checks")
        ordering = ["pk"]

    def __str__(self) -> str:
        return noted(self.account, self.role)
