"""The packages that an installation runs, with their licences: a page of the documentation, and an SBOM in CycloneDX.

`python -m tests.kit.licences` prints the page; `--sbom` prints the packages of this machine, Debian's too.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

# In an image, this file lies outside of the clone.
PLACES = (Path(__file__).resolve().parents[2], Path.cwd())
PROJECT = next(place for place in PLACES if (place / "requirements-production.lock").exists())
LOCK = PROJECT / "requirements-production.lock"
TRACES = PROJECT / "requirements-otel.lock"
PAGE = PROJECT / "docs" / "reference" / "licences.md"
COPYRIGHT = Path("/usr/share/doc")
HEAD = """# Licences of the packages

The packages of Python that an installation runs: those of `requirements-production.lock`, each with the licence that
its author states. `python -m tests.kit.licences` prints this page. Ringi itself has the
[Apache License 2.0](../decisions/apache-licence.md). `make kit` writes the list of the image, with the packages of
Debian, to `var/kit/sbom.json` (CycloneDX), and a [release](../how-to/verify-a-release.md) has both. The icons of the
pages are a part of Material Symbols, under the Apache License 2.0 as well
(`releases/static/ringi/fonts/icons-LICENSE.txt`).

| package | version | licence |
| --- | --- | --- |
"""
MORE = """
## The extra `otel`

`requirements-otel.lock` adds these.

| package | version | licence |
| --- | --- | --- |
"""
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)([^\\\n]*)", re.MULTILINE)
# Long texts in the field of the licence, by how they begin.
SHORT = (("MIT", "MIT"), ("Apache", "Apache-2.0"), ("BSD", "BSD"), ("Permission is hereby granted", "MIT"))


@dataclass(frozen=True)
class Package:
    """One installed package. licence: as its author states it; type: `pypi` or `deb`, as in a package URL."""

    name: str
    version: str
    licence: str
    type: str

    @property
    def url(self) -> str:
        """Return its package URL."""
        place = "debian/" if self.type == "deb" else ""
        return f"pkg:{self.type}/{place}{self.name}@{self.version.replace('+', '%2B').replace(':', '%3A')}"


def licence(found: Distribution) -> str:
    """Return the licence of a package: its SPDX expression, else its classifiers, else its own words."""
    said = found.metadata
    if expression := said.get("License-Expression"):
        return str(expression)
    classes = [one.rsplit(" :: ", 1)[-1] for one in said.get_all("Classifier") or [] if one.startswith("License ::")]
    if classes := [one for one in classes if one != "OSI Approved"]:
        return ", ".join(classes)
    words = str(said.get("License") or "").strip()
    if "\n" in words or len(words) > 60:
        return next((name for begins, name in SHORT if begins in words[:200]), words.splitlines()[0])
    return words


def locked(lock: Path = LOCK) -> list[Package]:
    """Return the packages of a lock that are installed here, which leaves out those for other systems. Raises
    SystemExit when another version is installed.
    """
    rows = []
    for name, version, marker in _LOCKED.findall(lock.read_text("utf-8")):
        if "== 'win32'" in marker:  # it may be here for something else
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:
            if not marker.strip():
                raise SystemExit(f"{name} is not installed: run `make messages`")
            continue
        if found.version != version:
            raise SystemExit(f"{name} {found.version} is installed, not {version}: run `make messages`")
        rows.append(Package(name, version, licence(found), "pypi"))
    return rows


def page() -> str:
    """Return the page of the documentation."""
    always = locked()
    more = [one for one in locked(TRACES) if one not in always]
    rows = ("".join(f"| {one.name} | {one.version} | {one.licence} |\n" for one in part) for part in (always, more))
    return HEAD + next(rows) + MORE + next(rows)


def of_debian() -> Iterator[Package]:
    """Yield the packages of Debian on this machine; licence: the short names of their copyright files."""
    if shutil.which("dpkg-query") is None:
        return
    words = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n"]
    for line in subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines():
        name, version = line.split()
        file = COPYRIGHT / name / "copyright"
        text = file.read_text("utf-8", errors="replace") if file.exists() else ""
        found = dict.fromkeys(re.findall(r"^License: *(\S.*)$", text, re.MULTILINE))
        common = dict.fromkeys(re.findall(r"/usr/share/common-licenses/([A-Za-z0-9.-]*\w)", text))
        yield Package(name, version, " AND ".join(found or common), "deb")


def sbom(*, debian: bool = True) -> str:
    """Return the packages of Ringi as CycloneDX 1.6 (JSON); debian: with those of this machine."""
    components = [
        {
            "type": "library",
            "bom-ref": one.url,
            "name": one.name,
            "version": one.version,
            "purl": one.url,
            "licenses": [{"license": {"name": one.licence or "see its copyright file"}}],
        }
        for one in [*locked(), *(of_debian() if debian else ())]
    ]
    whole = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    return json.dumps(whole, indent=1)


if __name__ == "__main__":
    print(sbom() if "--sbom" in sys.argv else page(), end="")
