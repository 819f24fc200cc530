"""The code that runs on a target's host, in one file: made of this installation's own source, named by its digest."""

import ast
import functools
import hashlib
import importlib.util
import io
import sys
import zipfile
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# The files to bundle, by path: this package, and the types above it that need nothing else. No type is imported here.
FOLDERS = (
    "environments/targets",
    "releases/step_types",
    "releases/check_types",
    "releases/metric_sources",
    "releases/sources",
)
ALONE = ("environments/connectivity/addresses.py", "environments/wall_clock.py")
START = "from environments.targets.ssh.host.serve import main\n\nmain()\n"
# Under these names the bundle carries the stand-ins of environments/targets/ssh/host.
INSTEAD = {
    "environments.targets.words": "from environments.targets.ssh.host.texts import gettext, is_recording\n",
    "environments.targets.declared": "from environments.targets.ssh.host.carried import *\n",
}
# Pure Python; PostgreSQL's library is the host's own.
TAKEN_ALONG = ("psycopg", "typing_extensions")


@dataclass(frozen=True)
class Bundle:
    """A zip that Python runs. modules: Ringi's modules in it. texts: the English texts that these can use."""

    content: bytes
    digest: str
    modules: frozenset[str]
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the file's name on a host."""
        return f"ringi-step-{self.digest}.pyz"


@functools.cache
def bundle() -> Bundle:
    """Return the bundle of this installation; the same source gives the same bytes."""
    ours = {name: path for name, path in _modules() if path.name != "__init__.py"}
    sources = {name: INSTEAD.get(name, path.read_text(encoding="utf-8")) for name, path in ours.items()}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    needs = {name: set() if name in INSTEAD else _imports(tree, ours) for name, tree in trees.items()}
    fit = {name for name in ours if _fits(name, needs)}
    files = {"__main__.py": START.encode()}
    texts: set[str] = set()
    for name in fit:
        files[f"{name.replace('.', '/')}.py"] = sources[name].encode()
        texts |= _texts(trees[name])
    for path in list(files):
        for folder in Path(path).parents:
            if folder != Path("."):
                files.setdefault(f"{folder.as_posix()}/__init__.py", b"")
    files |= dict(_taken_along())
    content = _zipped(files)
    return Bundle(content, hashlib.sha256(content).hexdigest(), frozenset(fit), tuple(sorted(texts)))


def carries(module: str) -> bool:
    """Tell whether a module runs on a host: whether it, and all that it imports, is Ringi's or Python's own."""
    return module in bundle().modules


def _modules() -> Iterator[tuple[str, Path]]:
    folders = (sorted((ROOT / folder).rglob("*.py")) for folder in FOLDERS)
    for path in chain(*folders, (ROOT / name for name in ALONE)):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _fits(name: str, needs: Mapping[str, set[str]]) -> bool:
    seen: set[str] = set()
    open_ones = [name]
    while open_ones:
        module = open_ones.pop()
        if module in seen:
            continue
        seen.add(module)
        for needed in needs[module]:
            top = needed.partition(".")[0]
            if needed in needs:
                open_ones.append(needed)
            elif top not in sys.stdlib_module_names and top not in TAKEN_ALONG:
                return False
    return True


def _imports(tree: ast.Module, ours: Container[str]) -> set[str]:
    """Return the modules that a file imports, inside functions too; imports from a package's own file do not count."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} if node.module in ours else {name if name in ours else node.module for name in inner}
    return found


def _texts(tree: ast.Module) -> set[str]:
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "_"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def _taken_along() -> Iterator[tuple[str, bytes]]:
    for name in TAKEN_ALONG:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        paths = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
        base = origin.parent.parent if origin.name == "__init__.py" else origin.parent
        for path in paths:
            yield path.relative_to(base).as_posix(), path.read_bytes()


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(files):
            # The time of a file's creation would give each installation a bundle of its own.
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), files[path], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
