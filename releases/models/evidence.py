"""Evidence: files and statements that gates read, and facts observed outside (R2, G1, G2)."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.language import noted
from environments.models import Account, Application, Environment
from releases.models.release import Release

# The suite of the reviews that Ringi itself reads from GitHub or GitLab.
FORGE = "forge"


class EvidenceQuerySet(models.QuerySet["Evidence"]):
    """Evidence, and what of it counts."""

    def counting(self, application_id: int, tree: str) -> "EvidenceQuerySet":
        """Keep what counts for a tree, without the files, the newest first."""
        counting = self.filter(application=application_id, tree=tree, superseded_by=None)
        return counting.exclude(tree="").defer("content").order_by("-pk")


class Evidence(models.Model):
    """One file or statement about a commit; it counts for every commit with the same tree, until a newer one of the
    same suite speaks about the same again.
    """

    application = models.ForeignKey(Application, models.PROTECT, related_name="evidence", verbose_name=_("application"))
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+", verbose_name=_("environment"))
    kind = models.CharField(_("type"), max_length=20)
    test_type = models.CharField(_("test type"), max_length=60, blank=True)
    suite = models.CharField(_("suite"), max_length=100, blank=True)
    tool = models.CharField(_("tool"), max_length=200, blank=True)
    commit = models.CharField(_("commit"), max_length=40)
    tree = models.CharField(_("Git tree hash"), max_length=40)
    digest = models.CharField(_("digest"), max_length=64)
    values = models.JSONField(_("values"))
    summary = models.CharField(_("summary"), max_length=300)
    content = models.BinaryField(_("file"))
    uploaded_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("uploaded by"))
    at = WrittenAtField(_("uploaded at"), auto_now_add=True)
    superseded_by = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="supersedes", verbose_name=_("superseded by")
    )

    objects = EvidenceQuerySet.as_manager()

    class Meta:
        verbose_name = _("evidence")
        verbose_name_plural = _("evidence")
        ordering = ["-at"]
        indexes = [models.Index(fields=["application", "tree", "kind"], name="evidence_by_tree")]

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.test_type, self.suite, self.commit[:12])))

    @property
    def from_forge(self) -> bool:
        """Tell whether Ringi read it from the forge; no uploaded review has the commit before the release."""
        return self.kind == "review" and "base" in self.values

    @property
    def source(self) -> str:
        """The identity of the report: its suite (or file) and the tool that wrote it."""
        return noted(self.tool, self.suite) if self.tool and self.suite else self.tool or self.suite


class Fact(models.Model):
    """A fact observed outside the database (tag, target, source), with its time; gates do not trust an old one."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="facts", verbose_name=_("release"))
    environment = models.ForeignKey(
        Environment, models.PROTECT, null=True, related_name="+", verbose_name=_("environment")
    )
    kind = models.CharField(_("type"), max_length=20)
    value = models.JSONField(_("value"))
    observed_at = models.DateTimeField(_("observed"))

    class Meta:
        verbose_name = _("fact")
        verbose_name_plural = _("facts")
        constraints = [
            models.UniqueConstraint(fields=["release", "environment", "kind"], name="fact_once", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.kind
