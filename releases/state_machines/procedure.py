"""The states of a version of the procedure, which itself needs approval."""

from django_fsm import transition

from releases.state_machines.version import VersionMachine


class ProcedureMachine(VersionMachine):
    """draft → in_review → in_effect → retired, until it is restored."""

    class Meta:
        abstract = True

    @transition("state", source="retired", target="in_effect")
    def restore(self) -> None:
        """Two administrators and an auditor have put this earlier version back into effect."""
