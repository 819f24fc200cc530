"""How parameters are declared. On a target's host the bundle has another file of this name (ssh/host/carried.py).

There parameters are not validated again: pydantic has done so here.
"""

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

__all__ = [
    "AfterValidator",
    "BaseModel",
    "ConfigDict",
    "Field",
    "StringConstraints",
    "ValidationError",
    "field_validator",
    "model_validator",
]
