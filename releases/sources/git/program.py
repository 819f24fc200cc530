"""Runs the `git` program for the other modules of this package, always with the same protection.

Every call is an argument list, isolated from the configuration of user and machine; programs that a repository's own
configuration could name (hooks, monitors, signing tools) are replaced by fixed ones. A call that takes too long ends
with all its child processes.
"""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.utils.translation import gettext as _

SECONDS = 60
LONGEST_NAME = 1000
OBJECT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
FIXED = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "gpg.program=gpg",
    "gpg.openpgp.program=gpg",
    "gpg.x509.program=gpgsm",
    "gpg.ssh.program=ssh-keygen",
    "gpg.ssh.defaultKeyCommand=",
    "gpg.ssh.revocationFile=",
    "log.showSignature=false",
    "protocol.allow=never",
)


class SourceUnavailable(Exception):
    """The repository cannot be read; the message is shown to people."""


def environment(place: Path) -> dict[str, str]:
    """Return the variables of every git call; it gets no others."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        # A folder inside another repository is not a repository.
        "GIT_CEILING_DIRECTORIES": str(place.resolve().parent),
    }


def run(
    repository: Path,
    arguments: Sequence[str],
    *,
    options: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    seconds: float = SECONDS,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a repository and return its output, whatever the status. Raises SourceUnavailable.

    options: `key=value` of git's configuration. extra: variables beside the fixed ones.
    """
    place = repository.absolute()
    if not place.is_dir():
        raise SourceUnavailable(_("There is no repository at %(path)s.") % {"path": repository})
    fixed = [f"safe.directory={place.resolve()}", *FIXED, *options]
    command = ["git", "-C", str(place), *(part for option in fixed for part in ("-c", option)), *arguments]
    try:
        done = bounded(command, {**environment(place), **(extra or {})}, stdin, seconds)
    except FileNotFoundError:
        raise SourceUnavailable(_("The program git is not installed.")) from None
    except subprocess.TimeoutExpired:
        raise SourceUnavailable(_("git did not answer within %(seconds)d seconds.") % {"seconds": seconds}) from None
    except ValueError:
        raise SourceUnavailable(_("The name contains a character that is not allowed.")) from None
    if done.returncode == 128 and b"not a git repository" in done.stderr:
        raise SourceUnavailable(_("There is no repository at %(path)s.") % {"path": repository})
    return done


def bounded(
    command: Sequence[str], variables: Mapping[str, str], stdin: bytes, seconds: float
) -> subprocess.CompletedProcess[bytes]:
    """Run a program; at the deadline it is killed with its children (ssh, git-remote-https). Raises
    FileNotFoundError, subprocess.TimeoutExpired.
    """
    with subprocess.Popen(
        command,
        env=dict(variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(stdin, timeout=seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    return subprocess.CompletedProcess(list(command), process.returncode, output, errors)


def read(repository: Path, arguments: Sequence[str], *, stdin: bytes = b"") -> str:
    """Return git's output. Raises SourceUnavailable, also after a failure."""
    done = run(repository, arguments, stdin=stdin)
    if done.returncode:
        raise SourceUnavailable(_("git failed: %(reason)s") % {"reason": last(done.stderr)})
    return done.stdout.decode("utf-8", "replace")


def object_id(output: bytes) -> str:
    """Return the object id in git's output. Raises SourceUnavailable."""
    text = output.decode("ascii", "replace").strip()
    if not OBJECT.fullmatch(text):
        raise SourceUnavailable(_("git returned a value that is not an object ID."))
    return text


def names_ref(repository: Path, name: str) -> bool:
    """Tell whether a text is a valid full name of a ref."""
    # git itself decides, after options, line breaks and unencodable text are excluded.
    if len(name) > LONGEST_NAME or name.rpartition("/")[2].startswith("-") or not name.isprintable():
        return False
    return run(repository, ["check-ref-format", name]).returncode == 0


def last(output: bytes) -> str:
    """Return the last line of a program's output, at most 300 characters."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
