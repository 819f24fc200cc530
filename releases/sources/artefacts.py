"""Files by digest: fetched once, compared with their SHA-256, and kept for the deployments that follow."""

import base64
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.conf import settings
from django.utils.translation import gettext as _

from environments.connectivity.addresses import networks
from environments.targets.base import Version
from environments.targets.trees import sha256_of, tree_digest, unpack
from releases.sources.exchange import NoAnswer, fetch

FETCH_SECONDS, MOST_REDIRECTS = 1800.0, 4
# The largest file that is fetched, in bytes.
LARGEST = 4 << 30
KEPT_DAYS = 60
BEGIN, END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


class Unavailable(Exception):
    """The file cannot be had, or it is another one; the message is shown to people, without secrets."""


@dataclass(frozen=True)
class Access:
    """The access to where files are: a name and a password, or a token (a password without a name)."""

    username: str = ""
    password: str = field(default="", repr=False)

    KEYS = ("ARTEFACT_USERNAME", "ARTEFACT_PASSWORD")

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Access":
        """Read it from a configuration."""
        return cls(values.get("ARTEFACT_USERNAME", ""), values.get("ARTEFACT_PASSWORD", ""))

    @property
    def headers(self) -> dict[str, str]:
        """Return the header that it needs; none without a password."""
        if not self.password:
            return {}
        if not self.username:
            return {"Authorization": f"Bearer {self.password}"}
        return {"Authorization": "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()}


def wrong_reference(kind: str, reference: str) -> str:
    """Return why an address is refused: of a file, an http(s) address or a path below the folder for artefacts; of an
    image, a name without tag and digest. Empty for one that is accepted.
    """
    if not reference.isprintable() or " " in reference or reference.startswith("-"):
        return _("The address contains a character that is not allowed.")
    if kind == "image":
        name = reference.rpartition("/")[2]
        if "://" in reference or "@" in reference or ":" in name or not name:
            return _("Name an image without a tag and without a digest, such as registry.example.org/team/app.")
        return ""
    if reference.startswith("/"):
        return _wrong_path(Path(reference))
    try:
        address = urlsplit(reference)
        port = address.port
    except ValueError:
        return _("“%(address)s” is not an address of a file.") % {"address": reference[:100]}
    if address.username or address.password:
        return _("Do not put a password in the address; enter it as ARTEFACT_PASSWORD in the secrets.")
    named = address.path.rpartition("/")[2]
    if address.scheme not in ("http", "https") or not address.hostname or port == 0 or not named:
        return _("“%(address)s” is not an address of a file.") % {"address": reference[:100]}
    return ""


def _wrong_path(path: Path) -> str:
    folder = settings.ARTEFACT_FOLDER
    if not folder:
        return _("Paths of files are accepted only where RINGI_ARTEFACT_FOLDER names the folder that holds them.")
    if not path.resolve().is_relative_to(Path(folder).resolve()):
        return _("%(path)s lies outside the folder for artefacts, %(folder)s.") % {"path": path, "folder": folder}
    return ""


def with_tree(version: Version, access: Access, heartbeat: Callable[[], None]) -> Version:
    """Return a version with the Git tree hash of its files once they are unpacked. Raises Unavailable, StepFailed."""
    held = _folder() / f"{version.digest}.{version.artefact}.tree"
    # A file is laid under its own name, so that its tree hangs on the name too.
    if version.artefact == "archive" and held.is_file():
        return replace(version, tree=held.read_text())
    packed = fetched(version, access, heartbeat)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=_folder()) as name:
        unpack(packed, Path(name), version)
        heartbeat()
        tree = tree_digest(Path(name))
    if version.artefact == "archive":
        _write(held, tree.encode())
    return replace(version, tree=tree)


def give(version: Version, access: Access, path: Path, heartbeat: Callable[[], None]) -> None:
    """Write the file of a version to a path. Raises Unavailable."""
    shutil.copyfile(fetched(version, access, heartbeat), path)


def fetched(version: Version, access: Access, heartbeat: Callable[[], None]) -> Path:
    """Return the path of a version's file, fetched where it is not here yet. Raises Unavailable.

    A file is compared with its SHA-256 each time that it is asked for.
    """
    place = _folder() / version.digest
    if place.is_file() and sha256_of(place) == version.digest:
        os.utime(place)
        return place
    descriptor, name = tempfile.mkstemp(prefix=f".fetching-{version.digest[:12]}-", dir=_folder())
    fresh = Path(name)
    try:
        with open(descriptor, "wb") as file:

            def take(chunk: bytes) -> None:
                file.write(chunk)
                heartbeat()

            _read(version.reference, access, take)
            file.flush()
            os.fsync(file.fileno())
        if (measured := sha256_of(fresh)) != version.digest:
            text = _("%(address)s has the SHA-256 %(measured)s; %(digest)s is registered")
            named = {"address": version.reference, "measured": measured, "digest": version.digest}
            raise Unavailable(text % named)
        os.rename(fresh, place)
        _forget_old(place)
    finally:
        fresh.unlink(missing_ok=True)
    return place


def _forget_old(kept: Path) -> None:
    """Remove files that no deployment has used for KEPT_DAYS; they are fetched again where one is wanted."""
    oldest = time.time() - KEPT_DAYS * 86400
    for path in kept.parent.iterdir():
        if path != kept and path.is_file() and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _read(reference: str, access: Access, take: Callable[[bytes], None]) -> None:
    if wrong := wrong_reference("file", reference):
        raise Unavailable(wrong)
    if reference.startswith("/"):
        try:
            with open(reference, "rb") as file:
                while chunk := file.read(1 << 20):
                    take(chunk)
        except OSError as fault:
            text = _("%(path)s cannot be read: %(why)s")
            raise Unavailable(text % {"path": reference, "why": fault.strerror or fault}) from fault
        return
    address, headers = reference, access.headers
    for _attempt in range(MOST_REDIRECTS + 1):
        try:
            answer = fetch(
                address,
                seconds=FETCH_SECONDS,
                listed=networks(settings.GIT_NETWORKS),
                headers=headers,
                into=take,
                largest=LARGEST,
            )
        except NoAnswer as fault:
            text = _("%(address)s cannot be fetched: %(why)s")
            raise Unavailable(text % {"address": reference, "why": fault}) from fault
        if answer.status not in (301, 302, 303, 307, 308):
            break
        following = urljoin(address, answer.headers.get("location", ""))
        if urlsplit(following).netloc != urlsplit(address).netloc or urlsplit(following).scheme != "https":
            headers = {}  # another server gets no password
        address = following
    if answer.status != 200:
        text = _("%(address)s answers with status %(status)d")
        raise Unavailable(text % {"address": reference, "status": answer.status})


def signature_fault(kind: str, digest: str, signature: str, payload: str, keys: str) -> str:
    """Return why a signature by cosign is not good for an artefact; empty when one of the keys has made it.

    digest: SHA-256, 64 hex. signature: base64. payload: the text that is signed for an image ("simple signing"), whose
    digest must be the image's. keys: PEM public keys (ECDSA or RSA), among other text.
    """
    if not signature:
        return _("The artefact is not signed.")
    try:
        made = base64.b64decode(signature, validate=True)
    except ValueError:
        return _("The signature is not base64.")
    signed = bytes.fromhex(digest)
    if kind == "image":
        try:
            named = json.loads(payload)["critical"]["image"]["docker-manifest-digest"]
        except (ValueError, KeyError, TypeError):
            return _("The signed text does not name an image.")
        if named != f"sha256:{digest}":
            return _("The signed text names another image: %(digest)s.") % {"digest": str(named)[:80]}
        signed = hashlib.sha256(payload.encode()).digest()
    if any(_has_made(key, made, signed) for key in public_keys(keys)):
        return ""
    return _("The signature was made by none of the keys of the application.")


def public_keys(text: str) -> list[str]:
    """Return the PEM public keys in the allowed signers of an application."""
    blocks = (part.partition(END) for part in text.replace("\r", "").split(BEGIN)[1:])
    return [f"{BEGIN}{block}{end}\n" for block, end, _rest in blocks if end]


def wrong_key(text: str) -> str:
    """Return why the PEM keys of a text cannot be used; empty when all can."""
    if text.count(BEGIN) != len(public_keys(text)):
        return _("A PEM key has no end.")
    for key in public_keys(text):
        try:
            known = load_pem_public_key(key.encode())
        except ValueError:
            return _("A PEM key cannot be read.")
        if not isinstance(known, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            return _("Ringi checks signatures of artefacts by ECDSA and RSA keys only.")
    return ""


def _has_made(key: str, signature: bytes, digest: bytes) -> bool:
    known = load_pem_public_key(key.encode())
    try:
        if isinstance(known, ec.EllipticCurvePublicKey):
            known.verify(signature, digest, ec.ECDSA(utils.Prehashed(SHA256())))
        elif isinstance(known, rsa.RSAPublicKey):
            known.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _folder() -> Path:
    folder = Path(settings.STATE_DIR) / "artefacts"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    os.rename(fresh, path)
