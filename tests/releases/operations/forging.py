"""A release in an application with a forge: commits of a real repository, and what the forge knows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from environments.operations.configuration.create import create
from releases.models import Fact, MergeRequest, Release
from releases.operations.application.set_forge import set_forge
from releases.operations.release.read_merge_requests import refresh
from tests.releases.gates.asking import alter, ask, git, mark_deployed, own_repository
from tests.releases.sources.forge_server import PROJECT, TOKEN, Asked, Server

HOSTS = {"github": "users.noreply.github.com", "gitlab": "users.noreply.gitlab.example.org"}
AUTHOR = "developer@datasets.example"


class Forged:
    """A release with commits after the deployed one, in an application with a forge."""

    def __init__(self, world: Any, folder: Path, server: Server, provider: str) -> None:
        self.world, self.server, self.provider = world, server, provider
        self.repository = own_repository(world, folder)
        mark_deployed(world, "1.2.0")
        self.base = world.built.commits["v1.2.0"]
        self.release = world.planned()
        for name, login in (("developer", "dev"), ("tester", "rev"), ("operator", "rev2")):
            person = world.people[name]
            alter(person, git_addresses=[*person.git_addresses, f"{login}@{HOSTS[provider]}"])
        with world.acting_as("manager"):
            set_forge(
                world.application.pk,
                forge=provider,
                url=f"{server.url}/",
                project=PROJECT,
                tickets="#{number} DS-{number}",
                reason="reviews are there",
            )
        self.token(TOKEN)

    def token(self, text: str) -> None:
        place = self.world.environments["production"]
        with self.world.acting_as("manager"):
            create(
                application_id=self.world.application.pk,
                environment_id=place.pk,
                values={},
                secrets={"FORGE_TOKEN": text},
                reason="reads requests",
            )

    def commit(self, subject: str, *parents: str, tree: str = "", by: str = AUTHOR) -> str:
        """Make a commit with a file of its own, or with a given tree."""
        first = (parents or (self.base,))[0]
        if not tree:
            blob = git(self.repository, "hash-object", "-w", "--stdin", words=subject)
            rows = git(self.repository, "ls-tree", first)
            tree = git(self.repository, "mktree", words=f"{rows}\n100644 blob {blob}\t{subject.split()[0]}\n")
        who = f"A <{by}> 1790000000 +0900"
        named = [f"parent {parent}" for parent in parents or (first,)]
        lines = [f"tree {tree}", *named, f"author {who}", f"committer {who}", "", subject, ""]
        return git(self.repository, "hash-object", "-t", "commit", "-w", "--stdin", words="\n".join(lines))

    def merged(self, one: str, other: str, *, evil: bool = False) -> str:
        """Merge a commit into another one; evil: with a file that neither has."""
        tree = git(self.repository, "merge-tree", "--write-tree", one, other)
        if evil:
            tree = git(self.repository, "rev-parse", self.commit("unseen", one) + "^{tree}")
        # The reviewer merges.
        return self.commit("Merge", one, other, tree=tree, by="tester@datasets.example")

    def bring(self, commit: str, *requests: Asked) -> Release:
        """Let the release bring a commit, and the forge know requests; refresh."""
        self.server.requests = list(requests)
        git(self.repository, "update-ref", "refs/heads/release/1.3", commit)
        tree = git(self.repository, "rev-parse", f"{commit}^{{tree}}")
        self.release = alter(self.release, commit=commit, tree=tree)
        return self.again()

    def again(self) -> Release:
        with self.world.acting_as("manager"):
            refresh(self.release.pk)
        return self.release

    @property
    def gate(self) -> str:
        return str(ask(self.world, self.release, "review").result)

    @property
    def fact(self) -> dict[str, Any]:
        return dict(Fact.objects.get(release=self.release, kind="forge").value)

    @property
    def results(self) -> dict[int, str]:
        return dict(MergeRequest.objects.filter(release=self.release).values_list("number", "result"))


def asked(commit: str, number: int = 1, *, by: str = AUTHOR, words: str = "", **changes: Any) -> Asked:
    """A request of one commit that `rev` has approved."""
    given = {"title": f"feat: request {number}", "reviews": [("rev", "APPROVED", commit)], **changes}
    return Asked(number, commits=[(commit, by, f"subject\n\n{words}")], **given)
