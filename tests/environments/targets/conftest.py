"""The targets of the step types' tests: the kernel is tried on the same."""

from tests.releases.step_types.conftest import bare_target, host, new_database, target, versions

__all__ = ["bare_target", "host", "new_database", "target", "versions"]
