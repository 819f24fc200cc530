"""A production deployment under way, from the tests of killed processes."""

from tests.chaos.conftest import point, scheduled_deployment
from tests.releases.conftest import sample_repository, world, world_template

__all__ = ["point", "sample_repository", "scheduled_deployment", "world", "world_template"]
