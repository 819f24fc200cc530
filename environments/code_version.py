"""The version of the code."""

import tomllib
from functools import cache

from django.conf import settings


@cache
def code_version() -> str:
    """Return the version that pyproject.toml names."""
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text("utf-8"))
    return str(project["project"]["version"])
