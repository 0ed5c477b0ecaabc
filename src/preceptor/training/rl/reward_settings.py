"""Settings of reward post-processing. Needs no torch."""

from typing import Literal

from pydantic import Field

from preceptor.core.types import Flag, Frozen, Real

Strip = Literal["none", "spaces", "periods_and_spaces"]
Aggregation = Literal["sum", "normalize_then_sum"]
"""How the rewards of several sources become one."""


class RewardProcessing(Frozen):
    """Reward post-processing, in this order: `strip`, the judgement, `clip`, `length_penalty`, `whiten`."""

    strip: Strip = "none"
    """What is stripped from the end of a response before it is judged. Lee et al. 2023 strip periods and spaces, which
    summaries had learned to add to please the judge."""
    clip: Real | None = Field(default=None, gt=0, le=1e6)
    """Rewards are clipped to [-clip, clip]; None for no clipping."""
    length_penalty: Real = Field(default=0.0, ge=0, le=1e6)
    """Penalty for each token of a response, the end-of-sequence token included."""
    whiten: Flag = False
    """Subtract the mean of a step's rewards and divide by their standard deviation; equal rewards become 0."""

    def describe(self) -> str:
        """Describes the steps in words, in the order in which they are applied."""
        parts = {
            "judged without trailing whitespace": self.strip == "spaces",
            "judged without trailing periods and whitespace": self.strip == "periods_and_spaces",
            f"clipped to ±{self.clip or 0:g}": self.clip is not None,
            f"less {self.length_penalty:g} for each token": self.length_penalty > 0,
            "whitened over each step": self.whiten,
        }
        return ", ".join(words for words, done in parts.items() if done) or "as their source gives them"
