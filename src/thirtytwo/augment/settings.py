"""The settings of augmentations: their types, and the check of each when an augmentation is made."""

from dataclasses import dataclass, fields
from typing import Annotated, get_type_hints

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from thirtytwo.errors import UserError


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"expected (low, high), not {bounds}")
    return bounds


Share = Annotated[float, Field(ge=0, le=1)]
"""A probability, or a fraction of the whole."""

Pixels = Annotated[int, Field(ge=0, le=1024)]
"""A length in pixels; no image is larger."""

Amount = Annotated[float, Field(ge=0, le=1e6)]
"""How strong a change is; 0 is no change."""

_Positive = Annotated[float, Field(ge=1e-6, le=1e6)]
_Part = Annotated[float, Field(gt=0, le=1)]

Bounds = Annotated[tuple[_Positive, _Positive], AfterValidator(_ordered)]
"""(low, high), both above 0, from a millionth to a million."""

Parts = Annotated[tuple[_Part, _Part], AfterValidator(_ordered)]
"""(low, high), both above 0 and at most 1."""


@dataclass(frozen=True)
class Checked:
    """A frozen dataclass whose fields are checked against their annotations when it is made.

    Raises UserError for a wrong type or a value out of range, whether the object comes from text or from Python.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        for setting in fields(self):
            try:
                value = TypeAdapter(hints[setting.name]).validate_python(getattr(self, setting.name))
            except ValidationError as error:
                message = error.errors()[0]["msg"]
                raise UserError(f"{type(self).__name__}: argument '{setting.name}': {message}") from None
            object.__setattr__(self, setting.name, value)
