"""A step type: lays the tree of a version beside the others and switches the link to it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from environments.targets import trees
from environments.targets.base import Parameters, Probe, StepContext, StepFailed
from environments.targets.log_position import log_position
from environments.targets.target import Held, Layout, TargetStep, journal_lines, journal_once
from environments.targets.words import gettext as _


class CodeParameters(Parameters):
    """direction: deployment of the wanted version, or rollback to the one deployed before."""

    direction: Literal["deployment", "rollback"] = "deployment"


class CodeDeploy(TargetStep):
    """Lays the wanted version's tree, proves it by git's own digest and switches to it in one rename."""

    name: ClassVar[str] = "code_deploy"
    parameters: ClassVar[type[Parameters]] = CodeParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 10

    def make(self, context: StepContext, held: Held, parameters: CodeParameters) -> dict[str, Any]:
        """Lay and switch; facts: code (tree digest measured before and after), folder, artefact (its SHA-256). A
        rollback to no version removes the link.
        """
        layout = Layout(context.target.root)
        before = trees.tree_digest(layout.current.resolve()) if layout.current.is_symlink() else ""
        wanted = context.wanted
        if wanted is None:
            if parameters.direction == "deployment":
                raise StepFailed(_("there is no version to deploy"))
            trees.switch(layout.current, None)
            log = log_position(layout.log(context.target.settings))
            line = journal_once(context, "code_deploy:switched", before=before, code="", folder="", log=log)
            return {"code": "", "code_before": line["before"], "folder": ""}
        if wanted.artefact == "image":
            raise StepFailed(_("the release deploys a container image, and code_deploy deploys files"))

        def git(arguments: Sequence[str]) -> object:
            return held.tool(arguments, extra=trees.git_environment(), read=trees.places_of(context.repository))

        def fetch(path: Path) -> None:
            if context.fetch is not None:
                context.fetch(path)
            else:
                trees.archive(context.repository, wanted, path, git)

        folder, laid = trees.lay(wanted, layout.releases, fetch)
        if laid or parameters.direction == "deployment":
            journal_once(context, "code_deploy:laid", code=wanted.tree, folder=folder.name, fresh=laid)
        context.heartbeat()
        trees.switch(layout.current, folder)
        code = trees.tree_digest(layout.current.resolve())
        if code != wanted.tree:
            raise StepFailed(_("%(path)s changed during the switch") % {"path": folder})
        log = log_position(layout.log(context.target.settings))
        line = journal_once(context, "code_deploy:switched", before=before, code=code, folder=folder.name, log=log)
        built = {"artefact": wanted.digest} if wanted.artefact else {}
        return {"code": code, "code_before": line["before"], "folder": str(folder), **built}

    def look(self, context: StepContext, held: Held, parameters: CodeParameters) -> tuple[Probe, dict[str, Any]]:
        """Done when the link leads to the wanted tree, measured on the disk, and this key's line is there."""
        layout = Layout(context.target.root)
        lines = journal_lines(context.target, key=context.key, effect="code_deploy:switched")
        if not lines:
            return Probe.NOT_DONE, {}
        facts = {"code": lines[-1]["code"], "code_before": lines[-1]["before"]}
        if context.wanted is None:
            done = not layout.current.is_symlink()
            return (Probe.DONE, facts | {"folder": ""}) if done else (Probe.NOT_DONE, {})
        folder = layout.releases / trees.folder_name(context.wanted)
        points = layout.current.is_symlink() and os.path.realpath(layout.current) == os.path.realpath(folder)
        if points and trees.tree_digest(folder) == context.wanted.tree:
            return Probe.DONE, facts | {"folder": str(folder)}
        return Probe.NOT_DONE, {}

    def describe(self, context: StepContext, parameters: CodeParameters) -> list[str]:
        """Return the lines of the dry run."""
        layout = Layout(context.target.root)
        if context.wanted is None:
            return [_("remove %(path)s") % {"path": layout.current}]
        folder = layout.releases / trees.folder_name(context.wanted)
        if context.wanted.artefact:
            named = {"reference": context.wanted.reference, "digest": context.wanted.digest, "path": folder}
            return [
                _("fetch %(reference)s and compare it with SHA-256 %(digest)s") % named,
                _("write %(path)s from it") % named,
                _("point %(link)s to %(path)s") % {"link": layout.current, "path": folder.name},
            ]
        command = trees.archive_command(context.repository, context.wanted, folder.with_suffix(".tar"))
        return [
            " ".join(command),
            _("write %(path)s and compare it with the Git tree hash %(tree)s")
            % {"path": folder, "tree": context.wanted.tree},
            _("point %(link)s to %(path)s") % {"link": layout.current, "path": folder.name},
        ]
