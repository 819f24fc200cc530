"""Fixtures: the targets of the step types' tests, on which the kernel is tested too."""

from tests.releases.step_types.conftest import bare_target, host, new_database, target, versions

__all__ = ["bare_target", "host", "new_database", "target", "versions"]
