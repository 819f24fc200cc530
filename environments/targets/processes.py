"""Processes and listening sockets of this machine, read from /proc; works for the user's own processes without root."""

import ipaddress
import os
import pwd
import socket
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from environments.targets.words import gettext as _

_GONE = (FileNotFoundError, ProcessLookupError)
_LISTENS = "0A"
_MOST_NAMED = 3


@dataclass(frozen=True)
class Listener:
    """A TCP socket that listens: its inode and the number of the user that it belongs to."""

    inode: int
    user: int


def start_time(pid: int) -> int | None:
    """Return the start time of a living process (clock ticks since boot); None when there is none, or a dead one."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in (b"Z", b"X") else int(fields[19])


def family(leader: int) -> set[int]:
    """Return the living processes of a leader's session and all that descend from them, the leader among them."""
    children: dict[int, list[int]] = defaultdict(list)
    found: set[int] = set()
    for pid in _pids():
        fields = _stat(pid)
        if fields is None or fields[0] in (b"Z", b"X"):
            continue
        children[int(fields[1])].append(pid)
        if pid == leader or int(fields[3]) == leader:
            found.add(pid)
    unseen = list(found)
    while unseen:
        fresh = [pid for pid in children[unseen.pop()] if pid not in found]
        found.update(fresh)
        unseen += fresh
    return found


def group_lives(group: int) -> bool:
    """Tell whether a living process is in the group; dead ones that were not waited for do not count."""
    stats = (_stat(pid) for pid in _pids())
    return any(fields is not None and int(fields[2]) == group and fields[0] not in (b"Z", b"X") for fields in stats)


def listeners(port: int, host: str = "") -> list[Listener]:
    """Return who listens on a port, where a connection to the host would end; without a host, on any address."""
    addresses = _addresses(host) if host else None
    found = []
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                local, _colon, number = fields[1].partition(":")
                if fields[3] != _LISTENS or int(number, 16) != port:
                    continue
                address = _address(local)
                if addresses is None or address.is_unspecified or address in addresses:
                    found.append(Listener(int(fields[9]), int(fields[7])))
    return found


def sockets_of(pids: Collection[int]) -> set[int]:
    """Return the inodes of the sockets that these processes hold, as far as this user may look."""
    return {inode for pid in pids for inode in _sockets(pid)}


def holders(found: Collection[Listener]) -> str:
    """Return who holds these sockets, for people: process number and program, else the user that they belong to."""
    wanted = {listener.inode for listener in found}
    known: dict[int, list[int]] = {}
    for pid in _pids():
        for inode in wanted & set(_sockets(pid)):
            known.setdefault(inode, []).append(pid)
    # Other holders of a socket have mostly inherited it: the oldest process is named.
    named = [named_process(min(pids)) for pids in known.values()]
    for listener in found:
        if listener.inode not in known:
            user = _user(listener.user)
            named.append(_("a process of the user “%(user)s” that Ringi has no permission to inspect") % {"user": user})
    return ", ".join(sorted(set(named))[:_MOST_NAMED])


def visible(found: Collection[Listener]) -> bool:
    """Tell whether a process that this user may look into holds each of these sockets."""
    return {listener.inode for listener in found} <= sockets_of(list(_pids()))


def named_process(pid: int) -> str:
    """Return a process for people: its number, program and script; no other argument, which may be a secret."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    shown = [Path(word).name for word in words[:2] if word and not word.startswith("-")]
    return _("process %(pid)d (%(program)s)") % {"pid": pid, "program": " ".join(shown)}


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of a process's stat from its state on (man 5 proc, field 3); None when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except _GONE:
        return None


def _sockets(pid: int) -> Iterator[int]:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            link = os.readlink(f"{folder}/{name}")
            if link.startswith("socket:["):
                yield int(link[8:-1])


def _addresses(host: str) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        return {_plain(str(entry[4][0])) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an address of /proc/net/tcp: words of four bytes in the order of this machine."""
    raw = bytes.fromhex(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return _plain(str(ipaddress.ip_address(raw)))


def _plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
