"""Who judged, and by which constitution."""

from pydantic import Field

from preceptor.core.fields import Frozen, JsonObject, NonEmpty


class Rater(Frozen):
    """Who gave a label: an AI judge, named by everything that can change its opinion."""

    model: NonEmpty
    """Identity of the language model, its weights' hash included."""
    constitution: NonEmpty
    constitution_hash: NonEmpty
    settings: JsonObject = Field(default={})
    """How the judge was asked: orders, rationale, samples, exemplars, calibration."""


class ConstitutionName(Frozen):
    """Which constitution was used."""

    name: str
    version: str
    hash: str


class ConstitutionFacts(ConstitutionName):
    """The same with its summary."""

    summary: str
