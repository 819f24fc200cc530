"""The programs that read and write a backup: PostgreSQL's own, and GnuPG."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from django.core.management.base import CommandError
from django.db import connection


class BackupFailed(CommandError):
    """A backup was not made, or not restored; the message says why and what to do."""


def postgres_environment() -> dict[str, str]:
    """Return the variables by which PostgreSQL's programs reach the database: no password is in the list of
    processes. Of several hosts they reach the one that this process is connected to, whose snapshot they use.
    """
    connection.ensure_connection()
    seen, here = connection.settings_dict, connection.connection.info
    given = {
        "PGHOST": here.host,
        "PGPORT": here.port,
        "PGUSER": seen.get("USER"),
        "PGPASSWORD": seen.get("PASSWORD"),
        "PGDATABASE": seen.get("NAME"),
    }
    options = {
        f"PG{name.upper()}": seen["OPTIONS"].get(name) for name in ("sslmode", "sslrootcert", "sslcert", "sslkey")
    }
    named = {name: str(value) for name, value in {**given, **options}.items() if value}
    return {**os.environ, **named, "PGCONNECT_TIMEOUT": "10"}


def run(words: list[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a program to its end; raises BackupFailed with what it said last."""
    done = subprocess.run([_found(words[0]), *words[1:]], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BackupFailed(f"{words[0]} failed: {' '.join(done.stderr.split()[-60:])}")


@contextmanager
def encrypting(recipient: Path, target: Path) -> Iterator[IO[bytes]]:
    """Give a stream that is encrypted for the key in a file (OpenPGP, armoured or not) and written to a new file."""
    if not recipient.is_file():
        raise BackupFailed(f"the public key {recipient} does not exist")
    words = ["--trust-model", "always", "--compress-algo", "none", "--recipient-file", str(recipient)]
    with _gpg([*words, "--output", str(target), "--encrypt"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        yield process.stdin


@contextmanager
def decrypting(source: Path) -> Iterator[IO[bytes]]:
    """Give the contents of an encrypted file, with a private key of the caller's GnuPG."""
    with _gpg(["--decrypt", str(source)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout


@contextmanager
def _gpg(words: list[str], *, stdin: int | None = None, stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    command = [_found("gpg"), "--batch", "--quiet", "--no-options", *words]
    with subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE) as process:
        try:
            yield process
        except BrokenPipeError:
            pass  # what gpg says is the reason
        except BaseException:
            process.kill()
            raise
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        assert process.stderr is not None
        said = process.stderr.read().decode("utf-8", "replace")
    if process.returncode:
        raise BackupFailed(f"gpg failed: {' '.join(said.split()[-60:])}")


def _found(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise BackupFailed(f"{program} is not installed on this server")
    return found
