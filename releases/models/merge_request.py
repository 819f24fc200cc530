"""A merge request whose commits a release brings, as the forge said it was reviewed."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from releases.models.release import Release


class MergeRequest(models.Model):
    """One merge request (GitHub: pull request). commits: those of the release that it covers. reviews: the last
    decision of each reviewer (`login`, `state`, `at`, `commit`).
    """

    class Result(models.TextChoices):
        APPROVED = "approved", _("approved by another person")
        CHANGES_REQUESTED = "changes_requested", _("changes requested")
        CHANGED = "changed", _("changed after the approval")
        OWN = "own_approval", _("approved by an author only")
        UNKNOWN_REVIEWER = "unknown_reviewer", _("approved by a user without an account here")
        UNKNOWN_AUTHOR = "unknown_author", _("an author has no account here")
        NOT_APPROVED = "not_approved", _("not approved")

    release = models.ForeignKey(Release, models.CASCADE, related_name="merge_requests", verbose_name=_("release"))
    number = models.PositiveIntegerField(_("number"))
    title = models.CharField(_("title"), max_length=300)
    url = models.CharField(_("address"), max_length=500)
    author = models.CharField(_("author"), max_length=100)
    merged_at = models.DateTimeField(_("merged at"))
    head = models.CharField(_("last commit"), max_length=40)
    labels = models.JSONField(_("labels"), default=list)
    tickets = models.JSONField(_("tickets"), default=list)
    commits = models.JSONField(_("commits"), default=list)
    reviews = models.JSONField(_("reviews"), default=list)
    result = models.CharField(_("result"), max_length=20, choices=Result)

    class Meta:
        verbose_name = _("merge request")
        verbose_name_plural = _("merge requests")
        ordering = ["-merged_at", "-number"]
        constraints = [models.UniqueConstraint(fields=["release", "number"], name="merge_request_once")]

    def __str__(self) -> str:
        return f"#{self.number} {self.title}"
