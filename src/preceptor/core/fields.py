"""What all types are made of: the frozen base, and two types of fields."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

JsonObject: TypeAlias = dict[str, JsonValue]
"""A JSON object of any content."""
NonEmpty = Annotated[str, Field(min_length=1)]


class Frozen(BaseModel):
    """Base of all types and settings: immutable; an unknown field, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
