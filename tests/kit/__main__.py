"""`make kit`: prints a table `row | result | seconds`, and ends with 1 when a row is not green."""

from __future__ import annotations

import os
import sys

from tests.kit.image import image
from tests.kit.installation import PROJECT, installed
from tests.kit.table import Table
from tests.kit.units import confinement


def main() -> int:
    """Play the kit."""
    if os.geteuid() != 0:
        print("ringi: make kit needs root, on Debian, with mmdebstrap and podman", file=sys.stderr)
        return 2
    os.umask(0o022)
    table = Table()
    for made in installed(table, PROJECT / "var" / "kit"):
        confinement(table, made)
        image(table, made)
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
