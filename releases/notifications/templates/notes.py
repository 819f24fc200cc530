"""Release notes, changelog entry and status text, made from the same facts of a release."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _, override

# In this order; users do not see a small change.
ORDER = ("breaking", "feature", "fix", "small")
FOR_USERS = ("breaking", "feature", "fix")


@dataclass(frozen=True)
class Fact:
    """One change: its type (a value of ORDER), words and ticket."""

    kind: str
    text: str
    ticket: str = ""


@dataclass(frozen=True)
class Facts:
    """A release as it is known now; times in readable form, empty when there is none. state: of its state machine."""

    application: str
    version: str
    title: str
    state: str
    opens: str
    closes: str
    day: str
    impact: str
    technical: Sequence[str]
    changes: Sequence[Fact]


def release_notes(facts: Facts, language: str) -> str:
    """Return the notes for users: what changes for them, when, and what they will see."""
    with override(language):
        lines = [f"# {facts.application} {facts.version}", "", facts.title]
        if facts.opens:
            lines += ["", _("Planned for: %(opens)s – %(closes)s") % {"opens": facts.opens, "closes": facts.closes}]
        for kind in FOR_USERS:
            if found := [change for change in facts.changes if change.kind == kind]:
                lines += ["", f"## {_heading(kind)}", "", *(f"- {change.text}" for change in found)]
        if facts.impact.strip():
            lines += ["", "## " + _("Impact on users"), "", facts.impact.strip()]
    return "\n".join(lines)


def changelog(facts: Facts, language: str) -> str:
    """Return the entry of this version, every change with its ticket, in the order of keepachangelog.com."""
    with override(language):
        lines = [f"## [{facts.version}]" + (f" - {facts.day}" if facts.day else "")]
        for kind in ORDER:
            if found := [change for change in facts.changes if change.kind == kind]:
                lines += ["", f"### {_heading(kind)}", ""]
                lines += [f"- {change.text}" + (f" ({change.ticket})" if change.ticket else "") for change in found]
    return "\n".join(lines)


def technical(facts: Facts, language: str) -> str:
    """Return the notes for operators: impact, security and the rollback."""
    parts = [f"# {facts.application} {facts.version}", facts.title, *(part for part in facts.technical if part.strip())]
    return "\n\n".join(parts)


def status(facts: Facts, language: str) -> str:
    """Return the status of the release for users in one or two sentences, without anything internal."""
    named = {"what": f"{facts.application} {facts.version}", "opens": facts.opens, "closes": facts.closes}
    with override(language):
        match facts.state:
            case "releasing":
                return _("%(what)s is being released now. The service may be unavailable until %(closes)s.") % named
            case "monitoring" | "completed":
                return _("%(what)s has been released. The service is available.") % named
            case "rolled_back":
                return _("%(what)s was rolled back. The previous version is available again.") % named
            case "failed":
                return _("The release of %(what)s did not succeed. The service is being restored.") % named
            case "cancelled" | "rejected":
                return _("The release of %(what)s has been cancelled.") % named
        if facts.opens:
            return _("%(what)s is planned for %(opens)s – %(closes)s. The service may be unavailable then.") % named
        return _("%(what)s is in preparation; there is no date yet.") % named


def _heading(kind: str) -> str:
    return {
        "breaking": _("Breaking changes"),
        "feature": _("New features"),
        "fix": _("Fixed"),
        "small": _("Small changes"),
    }[kind]
