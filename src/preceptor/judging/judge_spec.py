"""The specification of one judge: a model, a constitution and a way of asking."""

from pydantic import Field, model_validator

from preceptor.core.settings import Settings
from preceptor.core.types import NonEmpty, Weight
from preceptor.judging.constitution import load_constitution
from preceptor.judging.settings import PairwiseSettings, in_words, variant


class JudgeSpec(Settings):
    """One judge of comparisons."""

    model: NonEmpty = "embedded"
    """A model string."""
    constitution: NonEmpty = "helpful"
    """Name of a shipped constitution, or path of a .toml file. Not shown where responses are judged by rubrics."""
    variant: NonEmpty | None = None
    """Short name of a way of asking, such as `detailed+cot`; see `preceptor.judging.settings.variant`."""
    settings: PairwiseSettings | None = None
    """All settings of the way of asking, in place of a variant."""
    weight: Weight = 1.0
    """Weight in an ensemble."""
    calibration: NonEmpty | None = None
    """A file that `preceptor audit --save-calibration` wrote for this judge."""
    bias: NonEmpty | None = Field(default=None, exclude_if=lambda bias: bias is None)
    """A file that `preceptor audit --save-bias` wrote for this judge: what it prefers in excess of people is taken off
    its preferences."""
    cascade: NonEmpty | None = None
    """A file that `preceptor audit --save-cascade` wrote: this judge is the first of that cascade, and what it is
    unsure of goes to the next one."""

    @model_validator(mode="after")
    def _one_way_of_asking(self) -> "JudgeSpec":
        if self.variant is not None and self.settings is not None:
            raise ValueError("give either a variant or settings, not both")
        if self.calibration is not None and self.cascade is not None:
            raise ValueError("give either a calibration or a cascade: a cascade names its judges' calibrations itself")
        if self.bias is not None and self.cascade is not None:
            raise ValueError("give either a bias correction or a cascade: its thresholds were certified without one")
        return self

    @property
    def way(self) -> str:
        """The way of asking in a word or two."""
        if self.settings is not None and self.settings.shown == "alone":
            return "scored"
        if self.settings is not None and self.settings.shown == "rubric":
            return "rubric"
        return self.variant or (own_way(self.constitution) if self.settings is None else in_words(self.settings))

    @property
    def corrected_way(self) -> str:
        """The way of asking, and what is done with the answers."""
        done = {"calibrated": self.calibration, "bias-corrected": self.bias}
        return ", ".join([self.way, *(word for word, file in done.items() if file)])

    @property
    def goes_by_rubrics(self) -> bool:
        """Whether responses are judged by the rubrics of their prompts, and the constitution takes no part."""
        return self.resolved().shown == "rubric"

    def resolved(self) -> PairwiseSettings:
        """The way of asking.

        Raises: UsageError for an unknown variant.
        """
        return self.settings or variant(self.variant or own_way(self.constitution))


def own_way(constitution: str) -> str:
    """The variant with which a judge by this constitution compares where none is named: two responses at once, or each
    alone where the constitution judges claims.

    Raises: UsageError when there is no such constitution.
    """
    return "scored" if load_constitution(constitution).score.claims else "detailed"
