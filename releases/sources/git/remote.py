"""Mirrors of remote repositories: fetched within a deadline, with secrets in private files.

The address never carries a secret, secrets are never arguments of a program, and git's output is shown only after
they have been removed from it.
"""

import base64
import binascii
import fcntl
import ipaddress
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import SplitResult, quote, unquote, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from environments.connectivity.addresses import NotAllowed, UnknownHost, networks, places_of
from releases.sources.git.branch_files import committed
from releases.sources.git.program import SourceUnavailable, last, read, run
from releases.sources.git.tags import TagRefused, tag_object, take_away

FETCH_SECONDS, REACH_SECONDS = 120, 15
PORTS = {"https": 443, "ssh": 22, "http": 80}
HEADS_AND_TAGS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
# Variables about a site's proxy and certificates; no other variable of the process is passed on.
_WAY_OUT = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")
_HOST = re.compile(r"[0-9A-Za-z_\[\]:.][0-9A-Za-z_\-\[\]:.]*", re.ASCII)
_REASONS = (
    (
        re.compile(
            r"could not read (Username|Password)|Authentication failed|The requested URL returned error: 40[13]"
        ),
        "credentials",
    ),
    (re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED"), "host"),
    (re.compile(r"Permission denied \(|Load key .* (invalid format|error in libcrypto)"), "key"),
)


@dataclass(frozen=True)
class Credentials:
    """The access to a repository: name and password for https, a private key and the host's keys for ssh."""

    username: str = ""
    password: str = field(default="", repr=False)
    ssh_key: str = field(default="", repr=False)
    known_hosts: str = ""

    KEYS = ("GIT_USERNAME", "GIT_PASSWORD", "GIT_SSH_KEY", "GIT_KNOWN_HOSTS")

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Credentials":
        """Read them from a configuration; a key or a list of hosts may be on one line, with `\n` or in base64."""
        key, hosts = as_lines(values.get("GIT_SSH_KEY", "")), as_lines(values.get("GIT_KNOWN_HOSTS", ""))
        return cls(values.get("GIT_USERNAME", ""), values.get("GIT_PASSWORD", ""), key, hosts)

    def masked(self, text: str) -> str:
        """Return the text without the secrets."""
        for secret in (self.password, quote(self.password, safe=""), *self.ssh_key.splitlines()):
            if len(secret) >= 3:
                text = text.replace(secret, "•••")
        return text


NOBODY = Credentials()


def is_remote(repository: str) -> bool:
    """Tell whether a repository is given by an address and not by a path on this machine."""
    return not repository.startswith(("/", "./", "../")) and ":" in repository


def wrong_address(repository: str) -> str:
    """Return why an address is refused, empty if it is accepted, as a path always is. The host name is resolved."""
    if not is_remote(repository):
        return ""
    try:
        address = urlsplit(repository)
        port = address.port
    except ValueError:
        return _("“%(address)s” is not an address of a repository.") % {"address": repository[:100]}
    if address.scheme not in (*PORTS, "file") or "://" not in repository:
        return _("A repository is a path or an https, ssh or file address, such as ssh://git@host/path.")
    if address.password is not None:
        return _("Do not put a password in the address; enter it as GIT_PASSWORD in the secrets of the configuration.")
    if not repository.isprintable() or " " in repository or "\\" in repository or address.query or address.fragment:
        return _("The repository address contains a character that is not allowed.")
    if address.scheme == "file":
        fits = not address.netloc and address.path.startswith("/")
    else:
        fits = bool(address.hostname and _HOST.fullmatch(address.netloc.rpartition("@")[2])) and port != 0
        fits = fits and len(address.path) > 1 and not (address.username or "").startswith("-")
    if not fits:
        return _("“%(address)s” is not an address of a repository.") % {"address": repository[:100]}
    if address.scheme == "http" and not _loopback(address.hostname or ""):
        return _("http is allowed only for a repository on this host; use https.")
    try:
        _evaluated(address)
    except NotAllowed:
        text = _("%(host)s has an address that is not allowed; RINGI_GIT_NETWORKS lists the allowed private networks.")
        return text % {"host": address.hostname}
    except UnknownHost:
        pass  # the address is checked again at each connection of git
    return ""


def _evaluated(address: SplitResult) -> list[str]:
    """Return a host's addresses, each of which may be contacted; none for a file. Raises NotAllowed, UnknownHost."""
    if address.scheme == "file":
        return []
    try:
        return [at.sockaddr[0] for at in places_of(address.hostname or "", 0, listed=networks(settings.GIT_NETWORKS))]
    except UnknownHost:
        if address.scheme != "https" or not {"HTTPS_PROXY", "https_proxy"} & os.environ.keys():
            raise
        return []  # the proxy resolves the name


def reach(repository: str, credentials: Credentials = NOBODY, seconds: float = REACH_SECONDS) -> int:
    """Ask a local or remote repository for its branches and tags and return their number; nothing is fetched.
    Raises SourceUnavailable.
    """
    if not is_remote(repository):
        return len(read(Path(repository), ["for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags"]).split())
    address = _address(repository)
    with tempfile.TemporaryDirectory(prefix="ringi-git-") as folder:
        words = ["ls-remote", "--quiet", "--heads", "--tags", "--refs", "--", address.geturl()]
        return len(_reach(address, Path(folder), credentials, words, [], seconds).stdout.splitlines())


def refresh(repository: str, mirror: Path, credentials: Credentials = NOBODY, seconds: float = FETCH_SECONDS) -> None:
    """Fetch branches and tags of an address into its mirror (a bare folder), which is made when missing.

    Branches and tags deleted there are deleted here, their objects stay. Raises SourceUnavailable.
    """
    address = _address(repository)
    with _held(mirror, seconds):
        _make(mirror)
        _fetch(address, mirror, credentials, seconds)


def publish(
    repository: str,
    mirror: Path,
    name: str,
    make: Callable[[], str],
    credentials: Credentials = NOBODY,
    seconds: float = FETCH_SECONDS,
) -> str:
    """Let `make` make a tag in the mirror, push it to the address, never over an existing one; return its id.

    After a lost answer, the address is asked for the tag. Raises SourceUnavailable, TagRefused.
    """
    address = _address(repository)
    with _held(mirror, seconds):
        made = make()
        try:
            _push(address, mirror, credentials, f"refs/tags/{name}:refs/tags/{name}", seconds)
        except SourceUnavailable as fault:
            try:
                _fetch(address, mirror, credentials, seconds)
            except SourceUnavailable:
                take_away(mirror, name, made)
                raise fault from None
            if tag_object(mirror, name) != made:
                text = _("The repository refused the tag %(tag)s: %(reason)s")
                raise TagRefused(text % {"tag": name, "reason": fault}) from None
    return made


def push_files(
    repository: str,
    mirror: Path,
    branch: str,
    files: Mapping[str, str],
    *,
    message: str,
    who: tuple[str, str],
    at: datetime,
    credentials: Credentials = NOBODY,
    seconds: float = FETCH_SECONDS,
) -> str:
    """Commit files (path → text) on top of a branch of the address, never over newer commits; return the commit's id.
    Raises SourceUnavailable, FilesRefused.
    """
    address = _address(repository)
    with _held(mirror, seconds):
        _make(mirror)
        _fetch(address, mirror, credentials, seconds)
        made, head = committed(mirror, branch, files, message=message, who=who, at=at)
        if made != head:
            _push(address, mirror, credentials, f"{made}:refs/heads/{branch}", seconds)
            _fetch(address, mirror, credentials, seconds)
    return made


def _push(address: SplitResult, mirror: Path, credentials: Credentials, refs: str, seconds: float) -> None:
    # Programs in the configuration of a local repository would run as the product: hooks, filters, commands.
    closed = "-c core.hooksPath=/dev/null -c core.alternateRefsCommand=true -c receive.denyCurrentBranch=refuse"
    receive = [f"--receive-pack=git {closed} -c receive.autogc=false receive-pack"] if address.scheme == "file" else []
    words = ["push", "--quiet", "--no-verify", *receive, "--", address.geturl(), refs]
    _reach(address, mirror, credentials, words, ["push.followTags=false", "push.gpgSign=false"], seconds)


def _address(repository: str) -> SplitResult:
    if wrong := wrong_address(repository):
        raise SourceUnavailable(wrong)
    return urlsplit(repository)


def _make(mirror: Path) -> None:
    if (mirror / "HEAD").exists():
        return
    partial = Path(tempfile.mkdtemp(prefix=f".{mirror.name}-", dir=mirror.parent))
    try:
        done = run(partial, ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "."])
        if done.returncode:
            raise SourceUnavailable(_("git failed: %(reason)s") % {"reason": last(done.stderr)})
        os.rename(partial, mirror)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fetch(address: SplitResult, mirror: Path, credentials: Credentials, seconds: float) -> None:
    words = ["fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
    options = ["gc.autoDetach=false", "maintenance.autoDetach=false", "gc.pruneExpire=never", "fetch.unpackLimit=1"]
    _reach(address, mirror, credentials, [*words, "--", address.geturl(), *HEADS_AND_TAGS], options, seconds)


def _reach(
    address: SplitResult,
    mirror: Path,
    credentials: Credentials,
    words: Sequence[str],
    options: Sequence[str],
    seconds: float,
) -> CompletedProcess[bytes]:
    with _access(address, credentials) as (more, variables):
        done = run(mirror, words, options=[*options, *more], extra=variables, seconds=seconds)
    if done.returncode:
        raise SourceUnavailable(_reason(address, credentials, done))
    return done


def _reason(address: SplitResult, credentials: Credentials, done: CompletedProcess[bytes]) -> str:
    said = credentials.masked(done.stderr.decode("utf-8", "replace"))
    where = {"host": address.hostname or ""}
    match next((name for pattern, name in _REASONS if pattern.search(said)), ""):
        case "credentials":
            return _("%(host)s does not accept GIT_USERNAME and GIT_PASSWORD.") % where
        case "host":
            return _("The host key of %(host)s does not match GIT_KNOWN_HOSTS.") % where
        case "key":
            return _("%(host)s does not accept the key in GIT_SSH_KEY.") % where
    fatal = [line for line in said.splitlines() if line.startswith(("fatal:", "error:", "remote:", " !"))]
    return _("git failed: %(reason)s") % {"reason": (fatal or [last(said.encode())])[0][:300]}


@contextmanager
def _access(address: SplitResult, credentials: Credentials) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Yield git's options and variables for access; the secrets are in a folder that is removed afterwards."""
    options = ["http.followRedirects=false", "http.lowSpeedLimit=1000", "http.lowSpeedTime=30", "credential.helper="]
    try:
        places = _evaluated(address)
    except (NotAllowed, UnknownHost) as fault:
        raise SourceUnavailable(str(fault)) from fault
    if places and address.scheme != "ssh" and "[" not in address.netloc:
        pinned = ",".join(f"[{place}]" if ":" in place else place for place in places)
        options.append(f"http.curloptResolve={address.hostname}:{address.port or PORTS[address.scheme]}:{pinned}")
    variables = {"GIT_ALLOW_PROTOCOL": address.scheme, "GIT_SSH_VARIANT": "ssh"}
    variables |= {name: os.environ[name] for name in _WAY_OUT if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="ringi-git-") as folder:
        place = Path(folder)
        if address.scheme == "file":
            # The other side is a separate git, which reads this only from a file.
            path = unquote(address.path).replace("\\", "\\\\").replace('"', '\\"')
            variables["GIT_CONFIG_GLOBAL"] = str(_secret(place / "config", f'[safe]\n\tdirectory = "{path}"\n'))
        elif address.scheme == "ssh":
            variables["GIT_SSH_COMMAND"] = _ssh(place, address, credentials, places[0])
        elif credentials.password:
            name = quote(credentials.username or unquote(address.username or ""), safe="")
            host = address.netloc.rpartition("@")[2]
            line = f"{address.scheme}://{name}:{quote(credentials.password, safe='')}@{host}\n"
            store = _secret(place / "store", line)
            options.append(f"credential.helper=store --file={shlex.quote(str(store))}")
        yield options, variables


def _ssh(place: Path, address: SplitResult, credentials: Credentials, evaluated: str) -> str:
    if not credentials.ssh_key or not credentials.known_hosts:
        raise SourceUnavailable(
            _(
                "A connection to %(host)s needs GIT_SSH_KEY and GIT_KNOWN_HOSTS; enter both in the secrets of the "
                "configuration."
            )
            % {"host": address.hostname}
        )
    key, hosts = _secret(place / "key", credentials.ssh_key), _secret(place / "hosts", credentials.known_hosts)
    fixed = {
        "HostName": evaluated,
        "HostKeyAlias": address.hostname if address.port in (None, 22) else f"[{address.hostname}]:{address.port}",
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "PreferredAuthentications": "publickey",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "10",
        "ServerAliveCountMax": "3",
        "LogLevel": "ERROR",
    }
    words = ["ssh", "-F", "/dev/null", *(part for name, value in fixed.items() for part in ("-o", f"{name}={value}"))]
    return shlex.join(words)


def _secret(path: Path, text: str) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    return path


def as_lines(text: str) -> str:
    """Return a text of several lines that may have been written on one line."""
    if not text.strip():
        return ""
    plain = text.replace("\\n", "\n").replace("\r", "")
    if "\n" not in plain.strip() and " " not in plain.strip():
        try:
            plain = base64.b64decode(plain, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return plain
    return plain.strip("\n") + "\n"


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _held(mirror: Path, seconds: float) -> Iterator[None]:
    """Lock a mirror against other processes; the lock is retried until the deadline. Raises SourceUnavailable."""
    mirror.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    until = time.monotonic() + seconds
    with mirror.with_name(f"{mirror.name}.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise SourceUnavailable(_("Someone else has been fetching the repository for too long.")) from None
                time.sleep(0.05)
        yield
