"""Cuts the fonts that unfold brings to the characters and icons that pages show: 90 kB in place of 750.

`make fonts` runs it, with fontTools in an environment of its own, after a page has got a new icon.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

BASE = Path(__file__).resolve().parents[2]
FOLDER = BASE / "releases" / "static" / "ringi" / "fonts"
LISTED = FOLDER / "icons.txt"
IN_TEMPLATES = re.compile(r"material-symbols-outlined[^>]*>([^<]*)<|icon=\"([a-z_0-9]+)\"")
IN_SIDEBAR = re.compile(r"_(?:item|list)\(_\(\"[^\"]*\"\), \"([a-z_0-9]+)\"")
# Latin with Japanese names in Rōmaji, punctuation, arrows and comparisons; other scripts come from the reader's system.
CHARACTERS = "U+20-17F,U+2010-2027,U+2030-203A,U+20AC,U+2122,U+2190-2199,U+2212,U+2260-2265"


def library(name: str) -> Path:
    """Return the folder of an installed package."""
    found = find_spec(name)
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def icons() -> set[str]:
    """Return the names of all icons that templates and the sidebar name."""
    folders = [BASE / "audit", BASE / "environments", BASE / "releases", library("unfold"), library("django_rq")]
    found: set[str] = set()
    for page in (page for folder in folders for page in folder.rglob("*.html")):
        for shown, given in IN_TEMPLATES.findall(page.read_text()):
            found |= {given} | set(re.findall(r"[a-z_0-9]+", re.sub(r"{[{%].*?[%}]}", " ", shown)))
    return (found | set(IN_SIDEBAR.findall((BASE / "releases/admin/components/navigation.py").read_text()))) - {""}


def cut(source: Path, target: str, *options: str) -> None:
    """Write a part of a font."""
    argv = [sys.executable, "-m", "fontTools.subset", str(source), *options, "--flavor=woff2"]
    subprocess.run([*argv, f"--output-file={FOLDER / target}"], check=True)


def main() -> None:
    """Write icons.txt and the fonts."""
    from fontTools.ttLib import TTFont

    fonts = library("unfold") / "static" / "unfold" / "fonts"
    source = fonts / "material-symbols" / "Material-Symbols-Outlined.woff2"
    font = TTFont(source)
    characters = {glyph: chr(code) for code, glyph in font.getBestCmap().items()}
    # Several names may be drawn by one glyph, whose own name is another.
    drawn = {
        "".join(characters[part] for part in (first, *one.Component)): one.LigGlyph
        for lookup in font["GSUB"].table.LookupList.Lookup
        for table in (getattr(table, "ExtSubTable", table) for table in lookup.SubTable)
        for first, all_ in getattr(table, "ligatures", {}).items()
        for one in all_
    }
    shown = sorted(name for name in icons() if name in drawn)
    LISTED.write_text("\n".join(shown) + "\n")
    glyphs = ",".join({drawn[name] for name in shown})
    own = ["--unicodes=U+5F,U+30-39,U+61-7A", "--no-layout-closure", "--layout-features=liga,rlig"]
    cut(source, "icons.woff2", f"--glyphs={glyphs}", *own)
    for weight in ("Regular", "Medium", "SemiBold", "Bold"):
        source, target = fonts / "inter" / f"Inter-{weight}.woff2", f"inter-{weight.lower()}.woff2"
        cut(source, target, f"--unicodes={CHARACTERS}", "--layout-features=kern,liga,calt,ccmp,locl,mark,mkmk,tnum")


if __name__ == "__main__":
    main()
