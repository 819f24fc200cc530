"""ZIP archives whose bytes depend on their contents alone, written piece by piece.

Members are stored, not compressed: what a compressor makes of the same bytes differs from library to library.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import IO

from audit.offline.ringi_verify import Entry, directory, local_header, trailer

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first date that the format knows


class Archive:
    """A ZIP being written; `digests` keeps name → (SHA-256, length) of its members in the order of writing."""

    def __init__(self, out: IO[bytes]) -> None:
        """out: a file open for writing; it is left open."""
        self.zip = zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True)
        self.digests: dict[str, tuple[str, int]] = {}

    def add(self, name: str, pieces: bytes | Iterable[bytes]) -> None:
        """Write one member, from bytes or from pieces of them."""
        entry = zipfile.ZipInfo(name, LONG_AGO)
        entry.external_attr = 0o644 << 16
        entry.create_system = 3
        digest, length = sha256(), 0
        with self.zip.open(entry, "w", force_zip64=True) as member:
            for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                member.write(piece)
                digest.update(piece)
                length += len(piece)
        self.digests[name] = (digest.hexdigest(), length)

    def close(self) -> None:
        """Write the directory."""
        self.zip.close()


class Streamed:
    """A ZIP whose bytes are given away as they are made, in the one form that the offline verifier takes.

    `digests` keeps the same as of an `Archive`; `digest` is the SHA-256 of all bytes so far, `length` their number.
    """

    def __init__(self) -> None:
        self.digests: dict[str, tuple[str, int]] = {}
        self.digest, self.length = sha256(), 0
        self.entries: list[Entry] = []

    def _given(self, piece: bytes) -> bytes:
        self.digest.update(piece)
        self.length += len(piece)
        return piece

    def adding(self, name: str, pieces: bytes | Iterable[bytes]) -> Iterator[bytes]:
        """Yield the bytes of one member, made from bytes or from pieces of them."""
        begin, digest, length, crc = self.length, sha256(), 0, 0
        yield self._given(local_header(name))
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            digest.update(piece)
            crc, length = zlib.crc32(piece, crc), length + len(piece)
            yield self._given(piece)
        yield self._given(trailer(crc, length))
        self.digests[name] = (digest.hexdigest(), length)
        self.entries.append((name, crc, length, begin))

    def ending(self) -> bytes:
        """Return the last bytes."""
        return self._given(directory(self.entries, self.length))
