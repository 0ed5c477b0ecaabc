"""A reward model and how well it orders unseen pairs, as in its `summary.json`."""

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from preceptor.core.numbers import number
from preceptor.display.table import Table, pairs
from preceptor.evaluation.judges.reward_accuracy import RewardAccuracy
from preceptor.results.base import Result
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings


class RewardModelResult(Result):
    """A trained reward model.

    Examples:
        >>> result = RewardModelResult.load("reward_model")  # doctest: +SKIP
        >>> result.model, result.accuracy.accuracy.value  # doctest: +SKIP
    """

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    status: Literal["done"] = "done"
    model: str
    """Its identity, with the hash of its weights."""
    labels: Literal["soft", "hard"]
    """Whether it learnt probabilities, or which response is better."""
    seed: int
    training_pairs: int
    held_out_pairs: int
    by_source: dict[Literal["ai", "human"], int]
    """Training pairs by who labelled them."""
    left_out: dict[str, int]
    """Rows and pairs that were not used, by reason."""
    accuracy: RewardAccuracy | None
    """On the held-out pairs; None if there are none, or none of them has a reward."""
    in_words: str
    """The accuracy in one line."""
    length_correlation: float | None = Field(default=None, exclude_if=lambda r: r is None)
    """Of differences of scores and of lengths on the training pairs, before length was taken out of the head; None if
    it was not."""
    seconds: float
    settings: RewardModelSettings
    tuning: TuningSettings
    engine: EngineSettings = Field(default=EngineSettings(), exclude_if=lambda engine: engine == EngineSettings())
    environment: dict[str, str | int]
    """Versions and hardware."""

    @property
    def folder(self) -> Path:
        """The folder of the model."""
        return self.path / "model"

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the model."""
        accuracy = self.accuracy and self.accuracy.accuracy
        if accuracy is None:
            return ["The reward model was not measured on unseen pairs."]
        if accuracy.low is None or accuracy.low <= 0.5:
            return [f"On unseen pairs, the reward model is not better than chance: {self.in_words}."]
        return []

    def table(self) -> Table:
        """How it was trained and how it was measured."""
        rows = (
            ("training pairs", f"{self.training_pairs} ({self.labels} labels)"),
            ("held-out pairs", str(self.held_out_pairs)),
            ("on held-out pairs", self.in_words),
            ("seconds", number(self.seconds, 0)),
        )
        return pairs(rows)
