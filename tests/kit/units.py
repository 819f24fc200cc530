"""The rows on the unit files themselves: systemd reads them without a warning, and rates how they are confined."""

from __future__ import annotations

import json
import re

from tests.kit.installation import Installation
from tests.kit.table import Failed, Table

MOST = 2.5
OURS = "/etc/systemd/system"
WORKER = "ringi-worker@production.service"


def confinement(table: Table, made: Installation) -> None:
    """Add the rows."""
    names = ("ringi-web.service", "ringi-live.service", "ringi-scheduler.service", "ringi-ledger-signer.service")

    def verify() -> str:
        units = " ".join((*names, "ringi-ledger-stream.service", WORKER))
        said = made.here.shell(f"systemd-analyze verify --man=no {units} 2>&1", folder=OURS)
        if ours := [line for line in said.splitlines() if "ringi" in line]:
            raise Failed("\n".join(ours))
        return f"{len(units.split())} units, no warning"

    table.row("units: systemd-analyze verify", verify)

    def rated() -> str:
        found = {name: exposure(made, name)[0] for name in names}
        if max(found.values()) > MOST:
            raise Failed(str(found))
        return ", ".join(f"{name.removesuffix('.service')} {score}" for name, score in found.items())

    table.row(f"units: systemd-analyze security, at most {MOST}", rated)

    def worker() -> str:
        score, reasons = exposure(made, "ringi-worker@.service")
        return f"{score}; what counts: {'; '.join(reasons)}"

    table.row("units: the score of a worker, with the reasons", worker)


def exposure(made: Installation, name: str) -> tuple[float, list[str]]:
    """Return the exposure of a unit from 0 to 10, and what counts most in it."""
    words = f"systemd-analyze security --offline=true --no-pager {{}} {OURS}/{name}"
    said = made.here.shell(words.format(""))
    overall = re.search(r"exposure level for \S+: ([\d.]+)", said)
    if overall is None:
        raise Failed(said[-500:])
    rows = json.loads(made.here.shell(words.format("--json=short")))
    counted = [(float(row["exposure"]), row["name"]) for row in rows if row.get("exposure")]
    return float(overall[1]), [f"{setting} {value}" for value, setting in sorted(counted, reverse=True) if value >= 0.2]
