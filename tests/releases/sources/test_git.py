"""Facts come from a real git repository with real SSH and GPG signatures."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.utils import translation

from releases.procedures.load import default
from releases.sources.git import (
    NoSuchRevision,
    NoSuchTag,
    Signers,
    SourceUnavailable,
    TagRefused,
    authors,
    commit_facts,
    commit_signature,
    committers,
    contains,
    create_tag,
    facts,
    head_accepts,
    tag_message,
    unreadable,
)

GOOD = "1.2.0 (2026-12-16)\n\n- a table of tags\n"


@dataclass
class Repository:
    """A scratch repository and the key that signs its tags."""

    path: Path
    key: Path
    signers: Signers

    def git(self, *arguments: str, **environment: str) -> str:
        isolated = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path.parent),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Dev",
            "GIT_AUTHOR_EMAIL": "Dev@Example.com",
            "GIT_COMMITTER_NAME": "Dev",
            "GIT_COMMITTER_EMAIL": "dev@example.com",
            **environment,
        }
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments], env=isolated, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str, **environment: str) -> str:
        self.git("commit", "--allow-empty", "-q", "-m", message, **environment)
        return self.git("rev-parse", "HEAD")

    def tag(self, name: str, message: str = GOOD, commit: str = "HEAD") -> str:
        return create_tag(
            self.path,
            name=name,
            commit=self.git("rev-parse", commit),
            message=message,
            key=self.key,
            tagger="Dev",
            address="dev@example.com",
            at=datetime(2026, 12, 1, tzinfo=UTC),
        )


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def _key(place: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(place)], check=True)
    return place


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    key = _key(tmp_path / "key")
    allowed = tmp_path / "allowed_signers"
    allowed.write_text("dev@example.com " + key.with_suffix(".pub").read_text("utf-8"), "utf-8")
    made = Repository(tmp_path / "repository", key, Signers(allowed_signers=allowed))
    made.path.mkdir()
    made.git("init", "-q", "-b", "main")
    (made.path / "app.py").write_text("print(1)\n", "utf-8")
    made.git("add", "app.py")
    made.commit("first")
    return made


def test_a_signed_annotated_tag_is_read_completely(repository: Repository) -> None:
    object_id = repository.tag("v1.2.0")
    found = facts(repository.path, tag="v1.2.0", signers=repository.signers)
    assert found.object_id == object_id == repository.git("rev-parse", "v1.2.0")
    assert found.commit == repository.git("rev-parse", "main")
    assert found.tree == repository.git("rev-parse", "main^{tree}")
    assert (found.annotated, found.signed, found.signature_good, found.signer) == (True, True, True, "dev@example.com")
    assert (found.version_named, found.date_named, found.changes_named) == (True, True, True)
    assert found.tagger == "Dev <dev@example.com>"
    assert found.message == GOOD.strip()


def test_a_light_tag_is_neither_annotated_nor_signed(repository: Repository) -> None:
    repository.git("tag", "v1.2.0")
    found = facts(repository.path, tag="v1.2.0", signers=repository.signers)
    assert (found.annotated, found.signed, found.signature_good, found.version_named) == (False,) * 4
    assert found.object_id == found.commit


def test_an_annotated_tag_without_signature_is_not_signed(repository: Repository) -> None:
    repository.git("tag", "-a", "-m", GOOD, "v1.2.0")
    found = facts(repository.path, tag="v1.2.0", signers=repository.signers)
    assert (found.annotated, found.signed, found.signature_good) == (True, False, False)


def test_a_strangers_signature_is_signed_but_not_good(repository: Repository, tmp_path: Path) -> None:
    repository.key = _key(tmp_path / "stranger")
    repository.tag("v1.2.0")
    found = facts(repository.path, tag="v1.2.0", signers=repository.signers)
    assert (found.signed, found.signature_good) == (True, False)
    assert found.signer.startswith("SHA256:")


def test_without_allowed_signers_no_signature_is_good(repository: Repository) -> None:
    repository.tag("v1.2.0")
    for signers in (None, Signers()):
        found = facts(repository.path, tag="v1.2.0", signers=signers)
        assert (found.signed, found.signature_good) == (True, False)


def test_a_signed_tag_altered_afterwards_is_not_good(repository: Repository) -> None:
    repository.tag("v1.2.0")
    body = repository.git("cat-file", "tag", "v1.2.0").replace("a table of tags", "a back operation")
    forged = subprocess.run(
        ["git", "-C", str(repository.path), "hash-object", "-t", "tag", "-w", "--stdin"],
        input=body + "\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    repository.git("update-ref", "refs/tags/v1.2.0", forged)
    found = facts(repository.path, tag="v1.2.0", signers=repository.signers)
    assert (found.signed, found.signature_good) == (True, False)


def test_a_signed_tag_under_another_name_does_not_name_the_version(repository: Repository) -> None:
    object_id = repository.tag("v1.2.0", GOOD.replace("1.2.0", "1.3.0"))
    repository.git("update-ref", "refs/tags/v1.3.0", object_id)
    found = facts(repository.path, tag="v1.3.0", signers=repository.signers)
    assert found.signature_good
    assert not found.version_named


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("1.2.0\n\n2026年12月16日\n- 検索を追加\n", (True, True, True)),
        ("v1.2.0\n", (True, False, False)),
        ("1.2.0 2026-12-16\n", (True, True, False)),
        ("11.2.0 2026-13-45\n\nfaster search\n", (False, False, True)),
        ("1.2.0-beta.1 2026/12/16\n\nfaster search\n", (False, True, True)),
        ("1.2.0.\n\nReleased on 2026/12/16. Faster search.\n", (True, True, True)),
    ],
)
def test_version_date_and_changes_are_read_from_the_message(
    repository: Repository, message: str, named: tuple[bool, bool, bool]
) -> None:
    repository.tag("v1.2.0", message)
    found = facts(repository.path, tag="v1.2.0")
    assert (found.version_named, found.date_named, found.changes_named) == named


def test_the_message_of_the_product_names_all_three(repository: Repository) -> None:
    repository.tag("v2.0.0", tag_message("2.0.0", date(2026, 12, 16), ["# 新しい検索\nと絞り込み", ""]))
    found = facts(repository.path, tag="v2.0.0")
    assert (found.version_named, found.date_named, found.changes_named) == (True, True, True)
    assert found.message == "2.0.0 (2026-12-16)\n\n- # 新しい検索 と絞り込み"


def test_a_line_that_begins_with_a_hash_sign_stays_in_the_message(repository: Repository) -> None:
    repository.tag("v1.2.0", "1.2.0 (2026-12-16)\n\n#12 faster search\n")
    assert facts(repository.path, tag="v1.2.0").message.endswith("#12 faster search")


def test_an_existing_tag_is_never_moved(repository: Repository) -> None:
    first = repository.tag("v1.2.0")
    repository.commit("second")
    with pytest.raises(TagRefused, match="already exists"):
        repository.tag("v1.2.0")
    assert repository.git("rev-parse", "v1.2.0") == first


def test_a_tag_is_not_made_without_its_key(repository: Repository, tmp_path: Path) -> None:
    repository.key = tmp_path / "absent"
    with pytest.raises(TagRefused):
        repository.tag("v1.2.0")
    assert repository.git("tag") == ""


@pytest.mark.parametrize(
    "name", ["", "-d", "--list", "a..b", "a b", "v1\nv2", "v1\0", "a^{}", "v1.lock", "@{-1}", "x/-f", "v1:app.py"]
)
def test_ambiguous_names_are_refused(repository: Repository, name: str) -> None:
    with pytest.raises(NoSuchTag):
        facts(repository.path, tag=name)
    with pytest.raises(NoSuchRevision):
        commit_facts(repository.path, name)
    with pytest.raises(TagRefused):
        repository.tag(name)


def test_a_missing_object_is_reported(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(NoSuchTag, match=r"no tag v9\.9\.9"):
        facts(repository.path, tag="v9.9.9")
    with pytest.raises(NoSuchRevision):
        commit_facts(repository.path, "0" * 40)
    with pytest.raises(SourceUnavailable, match="no repository"):
        facts(tmp_path / "absent", tag="v1.2.0")
    inside = repository.path / "folder"
    inside.mkdir()
    with pytest.raises(SourceUnavailable, match="no repository"):
        facts(inside, tag="v1.2.0")


def test_a_tag_of_another_object_than_a_commit_is_refused(repository: Repository) -> None:
    repository.git("tag", "-a", "-m", GOOD, "v1.2.0", "HEAD^{tree}")
    with pytest.raises(NoSuchTag, match="does not point to a commit"):
        facts(repository.path, tag="v1.2.0")


def test_branches_that_hold_a_commit_are_matched_with_those_of_a_tier(repository: Repository) -> None:
    first = repository.git("rev-parse", "main")
    repository.git("checkout", "-q", "-b", "feature/search/new")
    second = repository.commit("second")
    repository.git("tag", "main2")
    assert contains(repository.path, first) == ["feature/search/new", "main"]
    assert contains(repository.path, second) == ["feature/search/new"]
    procedure = default()
    heads = contains(repository.path, second)
    assert head_accepts(heads, procedure.accepted_patterns("development")) == ["feature/search/new"]
    assert head_accepts(heads, procedure.accepted_patterns("production")) == []
    assert head_accepts(["main"], procedure.accepted_patterns("production")) == ["main"]


def test_a_branch_precedes_a_tag_of_the_same_name_and_each_has_a_full_name(repository: Repository) -> None:
    first = repository.git("rev-parse", "main")
    repository.git("tag", "staging", first)
    repository.git("checkout", "-q", "-b", "staging")
    second = repository.commit("second")
    assert commit_facts(repository.path, "staging").commit == second
    assert commit_facts(repository.path, first).tree == repository.git("rev-parse", f"{first}^{{tree}}")
    assert facts(repository.path, tag="staging").commit == first


def test_every_author_is_listed_and_a_mail_map_hides_none(repository: Repository) -> None:
    base = repository.git("rev-parse", "main")
    repository.commit("a\n\nCo-authored-by: Eve <Eve@example.com>", GIT_AUTHOR_EMAIL="bob@example.com")
    (repository.path / ".mailmap").write_text("Ann <ann@example.com> <bob@example.com>\n", "utf-8")
    repository.git("add", ".mailmap")
    last = repository.commit("b")
    assert sorted(authors(repository.path, base, last)) == ["bob@example.com", "dev@example.com", "eve@example.com"]
    assert sorted(authors(repository.path, None, base)) == ["dev@example.com"]
    assert authors(repository.path, last, last) == []
    assert commit_facts(repository.path, last).authors == ("dev@example.com",)


def test_every_committer_is_listed(repository: Repository) -> None:
    base = repository.git("rev-parse", "main")
    repository.commit("a", GIT_AUTHOR_EMAIL="bob@example.com", GIT_COMMITTER_EMAIL="Eve@example.com")
    last = repository.commit("b\n\nCo-authored-by: Ann <ann@example.com>")
    assert sorted(committers(repository.path, base, last)) == ["dev@example.com", "eve@example.com"]
    assert committers(repository.path, last, last) == []


@pytest.mark.parametrize("line", ["Eve <>", "Eve < >", "Eve <eve>", "Eve <e ve@example.com>", "Eve", "eve@example.com"])
def test_a_commit_is_named_for_an_author_or_committer_without_a_readable_address(
    repository: Repository, line: str
) -> None:
    base = repository.git("rev-parse", "HEAD")
    tree = repository.git("rev-parse", "HEAD^{tree}")
    for part in ("author", "committer"):
        lines = {"author": "Dev <dev@example.com>", "committer": "Dev <dev@example.com>", part: line}
        text = f"tree {tree}\nparent {base}\n" + "".join(f"{k} {v} 1790000000 +0000\n" for k, v in lines.items())
        raw = repository.path / "raw"
        raw.write_text(f"{text}\nwords\n")
        commit = repository.git("hash-object", "-t", "commit", "-w", "--literally", str(raw))
        seen = {
            "author": authors(repository.path, base, commit),
            "committer": committers(repository.path, base, commit),
        }
        (entry,) = seen.pop(part)
        found = unreadable(entry)
        assert found is not None and found[0] == commit, entry
        assert list(seen.values()) == [["dev@example.com"]]


def test_every_co_author_address_counts_and_an_unreadable_one_is_named(repository: Repository) -> None:
    base = repository.git("rev-parse", "HEAD")
    lines = ["Eve <eve@example.com>, Ann <Ann@example.com>; bob@example.com", "Doe, Jane <jane@example.com>"]
    lines += ["Mallory <>", "Nobody"]
    last = repository.commit("b\n\n" + "\n".join(f"Co-authored-by: {line}" for line in lines))
    assert authors(repository.path, base, last) == [
        "dev@example.com",
        "eve@example.com",
        "ann@example.com",
        "bob@example.com",
        "jane@example.com",
        f"{last} Mallory <>",
        f"{last} Nobody",
    ]
    assert unreadable(f"{last} Nobody") == (last, "Nobody")
    assert unreadable("eve@example.com") is None


def test_an_empty_address_in_the_environment_is_no_address(repository: Repository) -> None:
    base = repository.git("rev-parse", "HEAD")
    last = repository.commit("c", GIT_AUTHOR_EMAIL="")
    assert [unreadable(entry) for entry in authors(repository.path, base, last)] == [(last, "Dev")]


def test_a_replaced_object_does_not_change_the_facts(repository: Repository) -> None:
    first = repository.git("rev-parse", "main")
    tree = repository.git("rev-parse", "main^{tree}")
    (repository.path / "app.py").write_text("print(666)\n", "utf-8")
    repository.git("add", "app.py")
    second = repository.commit("other")
    repository.git("replace", first, second)
    assert commit_facts(repository.path, first).tree == tree


def test_programs_named_in_the_repository_are_not_run(repository: Repository, tmp_path: Path) -> None:
    repository.tag("v1.2.0")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\nexit 0\n", "utf-8")
    trap.chmod(0o755)
    for name in ("gpg.ssh.program", "gpg.program", "core.fsmonitor", "core.pager", "core.sshCommand"):
        repository.git("config", name, str(trap))
    repository.git("config", "log.showSignature", "true")
    assert facts(repository.path, tag="v1.2.0", signers=repository.signers).signature_good
    authors(repository.path, None, "main")
    assert not (tmp_path / "sprung").exists()


def test_signatures_of_commits_are_checked(repository: Repository) -> None:
    plain = repository.git("rev-parse", "main")
    signing = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={repository.key}"]
    repository.git(*signing, "commit", "-q", "--allow-empty", "-S", "-m", "x")
    good = commit_signature(repository.path, "main", repository.signers)
    assert (good.signed, good.good, good.signer) == (True, True, "dev@example.com")
    bare = commit_signature(repository.path, plain, repository.signers)
    assert (bare.signed, bare.good) == (False, False)


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
def test_a_gpg_signature_is_good_only_with_its_key(repository: Repository) -> None:
    # The agent's socket needs a short path.
    home = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        for arguments in (["--quick-generate-key", "Dev <dev@example.com>", "ed25519", "sign", "never"],):
            subprocess.run(
                ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", *arguments],
                check=True,
                capture_output=True,
            )
        repository.git("tag", "-s", "-u", "dev@example.com", "-m", GOOD, "v1.2.0", GNUPGHOME=str(home))
        found = facts(repository.path, tag="v1.2.0", signers=Signers(gnupg_home=home))
        assert (found.signed, found.signature_good, found.signer) == (True, True, "Dev <dev@example.com>")
        assert found.message == GOOD.strip()
        stranger = facts(repository.path, tag="v1.2.0", signers=repository.signers)
        assert (stranger.signed, stranger.signature_good) == (True, False)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
        shutil.rmtree(home, ignore_errors=True)
