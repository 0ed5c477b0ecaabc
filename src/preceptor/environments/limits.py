"""What tools may take."""

from typing import Annotated

from pydantic import Field

from preceptor.core.settings import Settings
from preceptor.core.types import Integer, Real


class Limits(Settings):
    """Limits of an environment's tools."""

    seconds: Annotated[Real, Field(gt=0, le=3600)] = 10.0
    """How long a call may take. A call that takes longer is stopped, and its environment ends with it."""
    characters: Annotated[Integer, Field(ge=100, le=1 << 20)] = 4000
    """How much of a tool's answer the policy is shown."""
    memory_mb: Annotated[Integer, Field(ge=16)] = 1024
    """How many MiB an environment may use beyond what it starts with. Linux only."""
    at_once: Annotated[Integer, Field(ge=1, le=1024)] = 16
    """How many environments run at the same time; the others wait for their turn."""
