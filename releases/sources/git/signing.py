"""Allowed signers: the known keys of an application (SSH and GPG), and the product's own signing key."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from releases.sources.git.program import SourceUnavailable, bounded, environment, last, run

_GOOD_SSH = re.compile(r'^Good "git" signature for (.+?) with \S+ key (\S+)', re.MULTILINE)
_SSH_KEY = re.compile(r'^Good "git" signature with \S+ key (\S+)', re.MULTILINE)
_GOOD_GPG = re.compile(r"^\[GNUPG:\] GOODSIG \S+ (.+)$", re.MULTILINE)
_PGP_KEY = re.compile(r"^-----BEGIN PGP PUBLIC KEY BLOCK-----.*?^-----END PGP PUBLIC KEY BLOCK-----\s*?$", re.M | re.S)
# Of what signs artefacts; no tag or commit is signed by them.
_PEM_KEY = re.compile(r"^-----BEGIN PUBLIC KEY-----.*?^-----END PUBLIC KEY-----\s*?$", re.M | re.S)
_SECONDS = 30


class BadKey(Exception):
    """An unusable key; the message is shown to people."""


@dataclass(frozen=True)
class Signers:
    """The allowed signers: a file of allowed SSH signers, a GnuPG home with keys, or both."""

    allowed_signers: Path | None = None
    gnupg_home: Path | None = None


@dataclass(frozen=True)
class Signature:
    """git's answer about a signature; `signer` is the principal (SSH) or the key's name (GPG)."""

    signed: bool
    good: bool
    signer: str


@contextmanager
def known(text: str) -> Iterator[Signers]:
    """Write an application's known keys for the time of the block: lines of allowed signers, armoured PGP keys.

    Raises BadKey for a PGP key that gpg refuses.
    """
    # gpg's sockets need a short path, so not the state folder.
    with tempfile.TemporaryDirectory(prefix="ringi-keys-") as folder:
        home = Path(folder)
        allowed = home / "allowed_signers"
        allowed.write_text(_PEM_KEY.sub("", _PGP_KEY.sub("", text)).replace("\r", ""), "utf-8")
        blocks = _PGP_KEY.findall(text)
        if blocks:
            words = ["gpg", "--homedir", folder, "--batch", "--no-autostart", "--quiet", "--import"]
            done = _say(words, stdin="\n".join(blocks).encode())
            if done.returncode:
                raise BadKey(
                    _("A PGP key of the application cannot be read: %(reason)s") % {"reason": last(done.stderr)}
                )
        yield Signers(allowed, home)


def checked(repository: Path, command: str, object_id: str, *, signed: bool, signers: Signers | None) -> Signature:
    """Let git check the signature of a tag (`verify-tag`) or commit (`verify-commit`). Raises SourceUnavailable."""
    if not signed or signers is None:
        return Signature(signed, False, "")
    options = [f"gpg.ssh.allowedSignersFile={(signers.allowed_signers or Path(os.devnull)).absolute()}"]
    with tempfile.TemporaryDirectory(prefix="ringi-keys-") as empty:
        home = str(signers.gnupg_home.absolute()) if signers.gnupg_home else empty
        found = run(repository, [command, "--raw", object_id], options=options, extra={"GNUPGHOME": home})
    said = (found.stdout + found.stderr).decode("utf-8", "replace")
    named = _GOOD_SSH.search(said) or _GOOD_GPG.search(said)
    if found.returncode == 0 and named:
        return Signature(True, True, named[1].strip())
    stranger = _SSH_KEY.search(said)
    return Signature(True, False, stranger[1] if stranger else "")


def public_key(key: Path) -> str:
    """Return the public half of a private SSH key file, `type base64`. Raises BadKey."""
    if not key.is_file():
        raise BadKey(_("There is no key at %(path)s.") % {"path": key})
    done = _say(["ssh-keygen", "-y", "-P", "", "-f", str(key.absolute())])
    if done.returncode:
        raise BadKey(_("The key %(path)s cannot be used: %(reason)s") % {"path": key, "reason": last(done.stderr)})
    return " ".join(done.stdout.decode("ascii", "replace").split()[:2])


def accepted_as(key: Path, signers: Signers) -> str:
    """Return the principal under which the allowed signers accept this private key now, else empty. Raises BadKey.

    A real signature is made and checked, so that expired keys, namespaces and revocations count.
    """
    public_key(key)
    with tempfile.TemporaryDirectory(prefix="ringi-probe-") as folder:
        probe = Path(folder) / "probe"
        probe.write_text("probe\n", "utf-8")
        made = _say(["ssh-keygen", "-Y", "sign", "-f", str(key.absolute()), "-n", "git", str(probe)])
        if made.returncode:
            raise BadKey(_("The key %(path)s cannot be used: %(reason)s") % {"path": key, "reason": last(made.stderr)})
        about = ["-s", f"{probe}.sig", "-f", str((signers.allowed_signers or Path(os.devnull)).absolute())]
        found = _say(["ssh-keygen", "-Y", "find-principals", *about])
        for principal in found.stdout.decode("utf-8", "replace").splitlines() if not found.returncode else []:
            words = ["ssh-keygen", "-Y", "verify", "-n", "git", "-I", principal.strip(), *about]
            if _say(words, stdin=b"probe\n").returncode == 0:
                return principal.strip()
    return ""


def _say(command: Sequence[str], *, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return bounded(command, environment(Path.cwd()), stdin, _SECONDS)
    except FileNotFoundError:
        raise SourceUnavailable(_("The program %(name)s is not installed.") % {"name": command[0]}) from None
    except subprocess.TimeoutExpired:
        text = _("%(name)s did not answer within %(seconds)d seconds.")
        raise SourceUnavailable(text % {"name": command[0], "seconds": _SECONDS}) from None
