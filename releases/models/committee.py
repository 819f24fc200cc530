"""Meetings of the release committee: date, attendees, minutes, and a decision per release (J3)."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.language import labelled
from environments.models import Account
from releases.models.release import Release


class CommitteeMeeting(models.Model):
    """One meeting. It does not approve anything itself: the attendees' own approvals link to it."""

    held_at = models.DateTimeField(_("held"))
    attendees: models.ManyToManyField[Any, Any] = models.ManyToManyField(
        Account, related_name="+", verbose_name=_("attendees")
    )
    minutes = models.TextField(_("minutes"))
    recorded_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("recorded by"))
    recorded_at = WrittenAtField(_("recorded"), auto_now_add=True)

    LOCK_ORDER = 45

    class Meta:
        verbose_name = _("committee meeting")
        verbose_name_plural = _("committee meetings")
        ordering = ["-held_at"]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.held_at:%Y-%m-%d}"


class MeetingDecision(models.Model):
    """What a meeting decided about one release."""

    class Decision(models.TextChoices):
        APPROVE = "approve", _("Approve")
        APPROVE_WITH_CONDITION = "approve_with_condition", _("Approve with condition")
        SEND_BACK = "send_back", _("Send back")
        REJECT = "reject", _("Reject")
        DEFER = "defer", _("Defer")

    FOR = (Decision.APPROVE, Decision.APPROVE_WITH_CONDITION)

    meeting = models.ForeignKey(CommitteeMeeting, models.PROTECT, related_name="decisions", verbose_name=_("meeting"))
    release = models.ForeignKey(Release, models.PROTECT, related_name="meeting_decisions", verbose_name=_("release"))
    decision = models.CharField(_("decision"), max_length=24, choices=Decision)
    note = models.CharField(_("note"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("meeting decision")
        verbose_name_plural = _("meeting decisions")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["meeting", "release"], name="meeting_decides_once")]

    def __str__(self) -> str:
        return labelled(self.release, self.get_decision_display())
