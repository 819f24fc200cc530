"""How parameters are declared. On a target's host the bundle carries another file under this name (ssh/host/carried.py):
what pydantic has judged here is only carried there.
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
