"""Parameters on a target's host: they were judged by pydantic before they were sent and are only carried here."""

from collections.abc import Callable, Mapping
from typing import Any, Self

ConfigDict = dict


class ValidationError(ValueError):
    """Never raised: nothing is judged here."""

    def errors(self, **_how: Any) -> list[Any]:
        """Return no fault."""
        return []


class BaseModel:
    """Holds what it is given; what is left out has the default that the class declares."""

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)

    @classmethod
    def model_validate(cls, given: Mapping[str, Any]) -> Self:
        """Return the values as an object."""
        return cls(**given)


def Field(*, default: Any = None, default_factory: Callable[[], Any] | None = None, **_limits: Any) -> Any:
    """Return the default."""
    return default_factory() if default_factory is not None else default


def StringConstraints(**_limits: Any) -> None:
    """Stand where a text's limits were."""


def AfterValidator(_evaluate: Any) -> None:
    """Stand where a judge was."""


def field_validator(*_fields: str, **_how: Any) -> Callable[[Any], Any]:
    """Leave the function as it is; no code calls it."""
    return lambda function: function


def model_validator(**_how: Any) -> Callable[[Any], Any]:
    """Leave the function as it is; no code calls it."""
    return lambda function: function
