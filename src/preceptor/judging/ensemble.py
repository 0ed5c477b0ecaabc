"""Combines several judges (different models, constitutions or ways of asking) into one."""

from collections.abc import Sequence
from typing import Protocol

from preceptor.core.types import Comparison, JudgeFailure, Preference, Rater
from preceptor.judging.ask import Demand
from preceptor.judging.calibration import Calibration, apply
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.settings import PairwiseSettings


class MemberJudge(Protocol):
    """A judge that compares responses by asking one model: `PairwiseJudge`, `ScoredPairJudge` or `RubricPairJudge`."""

    @property
    def rater(self) -> Rater:
        """Who the preferences are by."""
        ...

    @property
    def settings(self) -> PairwiseSettings:
        """How the model is asked."""
        ...

    @property
    def model(self) -> RecordedModel:
        """The model, whose calls are all recorded."""
        ...

    def demand(self, comparisons: Sequence[Comparison]) -> Demand:
        """The cost of judging the comparisons if none is on record."""
        ...

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        """A preference or a failure for each comparison, in order."""
        ...


class PreferenceJudge(Protocol):
    """Anything that compares responses."""

    @property
    def rater(self) -> Rater:
        """Who the preferences are by."""
        ...

    @property
    def members(self) -> Sequence[MemberJudge]:
        """The judges, each of which asks one model."""
        ...

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        """A preference or a failure for each comparison, in order."""
        ...


class CalibratedJudge:
    """A judge whose preferences are corrected by a calibration on people's labels."""

    def __init__(self, judge: MemberJudge, calibration: Calibration) -> None:
        self._judge = judge
        self._calibration = calibration
        self.members = (judge,)
        settings = judge.rater.settings | {"calibration": calibration.hash}
        self.rater = judge.rater.model_copy(update={"settings": settings})

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        """A calibrated preference or a failure for each comparison, in order.

        Raises: UsageError when the calibration was fitted on another judge.
        """
        how = self._judge.settings.combine
        return [
            p if isinstance(p, JudgeFailure) else apply(self._calibration, p, how)
            for p in self._judge.compare(comparisons)
        ]


class EnsembleJudge:
    """The weighted mean of several judges' preferences, which also records their disagreement.

    If one judge fails on a comparison, there is no preference: the mean of the others would be that of another judge.
    """

    def __init__(self, judges: Sequence[PreferenceJudge], weights: Sequence[float]) -> None:
        self._judges = list(judges)
        self._weights = weights
        self.members = tuple(member for judge in judges for member in judge.members)
        self.rater = ensemble_rater([judge.rater for judge in judges], weights)

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        """The judges' mean preference or a failure for each comparison, in order."""
        by_judge = [judge.compare(comparisons) for judge in self._judges]
        return [mean_preference(outcomes, self._weights, self.rater) for outcomes in zip(*by_judge, strict=True)]


def ensemble_rater(raters: Sequence[Rater], weights: Sequence[float]) -> Rater:
    """The rater that combines several raters."""
    return Rater(
        model=" + ".join(rater.model for rater in raters),
        constitution=" + ".join(dict.fromkeys(rater.constitution for rater in raters)),
        constitution_hash="+".join(dict.fromkeys(rater.constitution_hash for rater in raters)),
        settings={"weights": list(weights), "judges": [rater.settings for rater in raters]},
    )


def mean_preference(
    outcomes: Sequence[Preference | JudgeFailure], weights: Sequence[float], rater: Rater
) -> Preference | JudgeFailure:
    """The weighted mean of several judges' preferences on one comparison; the first failure if one of them failed."""
    members: list[Preference] = []
    for number, outcome in enumerate(outcomes, start=1):
        if isinstance(outcome, JudgeFailure):
            return outcome.model_copy(update={"detail": f"judge {number} of the ensemble: {outcome.detail}"})
        members.append(outcome)
    weighed = list(zip(weights, members, strict=True))
    return Preference(
        comparison=members[0].comparison,
        p_a=sum(weight * member.p_a for weight, member in weighed) / sum(weights),
        p_tie=sum(weight * member.p_tie for weight, member in weighed) / sum(weights),
        rater=rater,
        presentations=tuple(presentation for member in members for presentation in member.presentations),
        members=tuple(members),
    )
