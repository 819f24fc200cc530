"""The checks of an installation, each with what it found and what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from audit.isolated import is_unavailable
from releases.doctor import database, machine, other_processes, replication, variables
from releases.doctor.finding import Finding, Result, warning

# Each group of checks under its name. Those of BEFORE_START keep a process from working at all.
GROUPS: dict[str, tuple[Callable[[], Iterator[Finding]], ...]] = {
    "variables": variables.CHECKS,
    "database": (*database.CHECKS, replication.replication),
    "machine": machine.CHECKS,
    "services": other_processes.CHECKS,
}
BEFORE_START = (variables.secret_key, database.role, database.schema, machine.state_folder, machine.key_ring_file)
# Their roles read the ledger, and little else.
NARROW, DENIED = ("ledger_signer", "ledger_stream"), "42501"
READY = (database.role, database.schema, other_processes.queue)


@dataclass(frozen=True)
class Examination:
    """All findings, in the order in which they were looked at."""

    findings: list[Finding]

    @property
    def result(self) -> Result:
        """Return the worst result; what could not be looked at has failed."""
        results = {one.result for one in self.findings}
        if results & {Result.FAILED, Result.UNKNOWN} or not results:
            return Result.FAILED
        return Result.WARNING if Result.WARNING in results else Result.OK


def examine(checks: tuple[Callable[[], Iterator[Finding]], ...] | None = None) -> Examination:
    """Run checks (None: all); one that ends with an error is a finding of its own, and the others still run."""
    wanted = checks if checks is not None else tuple(one for group in GROUPS.values() for one in group)
    found: list[Finding] = []
    for check in wanted:
        try:
            seen = list(check())
        except Exception as fault:  # noqa: BLE001  # each check meets a part that may be broken in any way
            if settings.PROCESS in NARROW and getattr(fault.__cause__, "sqlstate", "") == DENIED:
                words = _("Not looked at: the role of this process reads nothing of that.")
                found.append(warning(check.__name__, words, _("Look with the variables of the web process.")))
                continue
            why = _("PostgreSQL does not answer.") if is_unavailable(fault) else f"{type(fault).__name__}: {fault}"
            name = check.__name__.replace("_", " ")
            seen = [Finding(name, Result.UNKNOWN, _("Not looked at: %(why)s") % {"why": " ".join(why.split())})]
        found += seen or [Finding(check.__name__, Result.UNKNOWN, _("The check has found nothing."))]
    return Examination(found)
