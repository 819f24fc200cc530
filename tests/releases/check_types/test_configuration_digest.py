"""The check that compares the configuration on the target with the version rolled out."""

from __future__ import annotations

from environments.targets.target import Layout
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.check_types.configuration_digest import ConfigurationDigest
from tests.releases.step_types.conftest import Target, new_database, target, versions

__all__ = ["new_database", "target", "versions"]


def check(made: Target, configuration: dict[str, str]) -> CheckResult:
    kind = ConfigurationDigest()
    return kind.run(CheckContext(made.spec, configuration), kind.parameters())


def test_only_the_deployed_bytes_pass(target: Target) -> None:
    assert check(target, target.configuration).result is Result.FAILED, "no file"
    target.step("configuration_update", target.context(configuration=target.configuration))
    result = check(target, target.configuration)
    assert result.result is Result.PASSED and result.value == result.limit.removeprefix("= ")
    assert check(target, target.configuration | {"LIMIT": "5"}).result is Result.FAILED
    path = Layout(target.spec.root).configuration
    path.write_bytes(path.read_bytes() + b"\n")
    changed = check(target, target.configuration)
    assert changed.result is Result.FAILED
    assert target.configuration["SECRET"] not in changed.output and "changed" in changed.output


def test_a_deployment_without_configuration_is_no_data(target: Target) -> None:
    assert check(target, {}).result is Result.NO_DATA
    assert check(target, {"not a key": "x"}).result is Result.ERROR
