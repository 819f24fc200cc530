"""The states of a document: content check, approval, ready to publish (G3)."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import transition

from releases.state_machines.field import StateField


class DocumentMachine(models.Model):
    """draft → content_checked → approved → ready_to_publish → published, and retracted when the release is rolled
    back. States for which the procedure asks nothing are passed over.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        CONTENT_CHECKED = "content_checked", _("Content checked")
        APPROVED = "approved", _("Approved")
        READY_TO_PUBLISH = "ready_to_publish", _("Ready to publish")
        PUBLISHED = "published", _("Published")
        RETRACTED = "retracted", _("Retracted")

    ENDS = frozenset({"published", "retracted"})

    state = StateField(_("state"), choices=State.choices, default="draft")

    class Meta:
        abstract = True

    @transition("state", source="draft", target="content_checked")
    def check_content(self) -> None:
        """The content is checked (内容確認)."""

    @transition("state", source="content_checked", target="approved")
    def approve(self) -> None:
        """The document is approved (承認取得)."""

    @transition("state", source="approved", target="ready_to_publish")
    def prepare_publication(self) -> None:
        """The document is ready to publish (公開準備)."""

    @transition("state", source="draft", target="approved")
    def pass_content_check(self) -> None:
        """The document is approved; the release procedure asks for no check of its content."""

    @transition("state", source=["draft", "content_checked"], target="ready_to_publish")
    def pass_approval(self) -> None:
        """The document is ready to publish; the release procedure asks for nothing more."""

    @transition("state", source="ready_to_publish", target="published")
    def publish(self) -> None:
        """The document is published with the release."""

    @transition("state", source="published", target="retracted")
    def retract(self) -> None:
        """The document is no longer true: the release was rolled back after monitoring had ended."""

    @transition("state", source=["content_checked", "approved", "ready_to_publish"], target="draft")
    def revise(self) -> None:
        """The document was edited and starts again as a draft."""
