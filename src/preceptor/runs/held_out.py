"""The held-out measure of a run: it trains nothing, chooses the checkpoint, and shows what changed. A run whose
constitution names no measure may have none.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from preceptor.backends.names import without_server
from preceptor.backends.resolve import open_model
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.reward import reward_kind, reward_of
from preceptor.judging.score import ScoreJudge
from preceptor.judging.text_features import vader
from preceptor.recipes.settings import JudgeSettings
from preceptor.store.ledger import Ledger

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup


class HeldOut(Protocol):
    """A measure of responses, or of the episodes of an agent."""

    @property
    def name(self) -> str:
        """For sentences and titles."""
        ...

    @property
    def identity(self) -> str:
        """What identifies the measure: for a judge, its model with a hash of the weights."""
        ...

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[float | None]:
        """A score for each response of each group, in order; None for a response without a score."""
        ...

    def close(self) -> None:
        """Closes the measure."""
        ...


class Vader:
    """A sentiment lexicon. It measures tone and nothing else."""

    name = identity = "VADER"

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[float | None]:
        """Compound sentiment in [-1, 1]."""
        return [vader(response.text) for group in groups_P for response in group.responses]

    def close(self) -> None:
        """Nothing to close."""


class EnvironmentSuccess:
    """Whether an agent did its task, by its environment.

    Args:
        environment: its name.
    """

    name = "success by the environment"

    def __init__(self, environment: str) -> None:
        self.identity = f"environment {environment}"

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[float | None]:
        """1 for success, 0 for failure; None where the environment broke or does not know."""
        return [
            None if success is None else float(success)
            for group in groups_P
            for success in [episode.success for episode in group.episodes]
        ]

    def close(self) -> None:
        """Nothing to close."""


def held_out_measure(
    judge: JudgeSettings | None,
    constitution: Constitution | None,
    ledger: Path,
    on_open: Callable[[str], None],
    environment: str | None = None,
) -> HeldOut | None:
    """The held-out judge if the recipe has one; else the environment in which an agent acts; else the measure that the
    training judge's constitution names, if any.

    Args:
        constitution: the training judge's constitution, if there is one.
        ledger, on_open: as for `HeldOutJudge`.
        environment: name of the environment, if there is one.
    """
    if judge is not None:
        return HeldOutJudge(judge, ledger, on_open)
    if environment is not None:
        return EnvironmentSuccess(environment)
    return Vader() if constitution is not None and constitution.held_out == "vader" else None


class HeldOutJudge:
    """A judge that scores responses by a constitution's rubric, rescaled to [-1, 1] or as log-odds.

    The model and the ledger are opened at the first call. It has its own ledger, so its calls are not counted as the
    training judge's.

    Args:
        on_open: called with the model's identity when the model is opened.
    """

    def __init__(self, settings: JudgeSettings, ledger: Path, on_open: Callable[[str], None]) -> None:
        self.settings = settings
        self.constitution: Constitution = load_constitution(settings.constitution)
        self._path = ledger
        self._on_open = on_open
        self._ledger: Ledger | None = None
        self._judge: ScoreJudge | None = None

    @property
    def name(self) -> str:
        """The last part of the model's name, with the constitution."""
        model = Path(without_server(self.settings.model)).name
        return f"{model} by {self.constitution.name}"

    @property
    def identity(self) -> str:
        """The identity of the model. Opens the model if it is not open yet."""
        return self._opened().rater.model

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[float | None]:
        """The judge's score of each response; None where it failed."""
        items = [(group.prompt, response) for group in groups_P for response in group.responses]
        kind = reward_kind(self.settings.reward, self.constitution)
        return [reward_of(score, kind) for score in self._opened().score(items)]

    def close(self) -> None:
        """Closes the ledger."""
        if self._ledger is not None:
            self._ledger.close()

    def _opened(self) -> ScoreJudge:
        if self._judge is None:
            model = open_model(self.settings.model)
            self._on_open(model.identity)
            self._ledger = Ledger(self._path)
            self._judge = ScoreJudge(model, self.constitution, self._ledger, self.settings.asking)
        return self._judge
