"""The search for a better wording: GEPA (Agrawal et al. 2025, arXiv 2507.19457) over the parts of a constitution."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Preference
from preceptor.evaluation.judges.agreement import Side, chosen
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.rewording import Dispute, Rewriter
from preceptor.store.comparisons import ComparisonRow

SHOWN = 3
"""Comparisons that the rewriter is shown at a time."""

Parts = dict[str, str]
"""The texts of a constitution by the name of each part."""
MakeJudge = Callable[[Mapping[str, str]], PreferenceJudge]


@dataclass(frozen=True)
class Judged:
    """A row with what the judge said of it."""

    row: ComparisonRow
    outcome: Preference | JudgeFailure

    @property
    def score(self) -> float:
        """The probability of what people prefer; 0 for a failure, so that no wording wins by failing."""
        if isinstance(self.outcome, JudgeFailure):
            return 0.0
        return self.outcome.p_a if majority_of(self.row) == "a" else 1.0 - self.outcome.p_a


@dataclass(frozen=True)
class Found:
    """The wordings that a search kept, the original first."""

    candidates: list[Parts]
    parents: list[int | None]
    scores: list[float]
    """On the validation rows."""
    comparisons: int


def majority_of(row: ComparisonRow) -> Side:
    """The response that people prefer; for rows of which they do prefer one."""
    assert row.preferred is not None
    return row.preferred


class ConstitutionAdapter:
    """What GEPA needs to know of judges: how a wording judges rows, and which rows its rewriter sees. A GEPA adapter.

    Args:
        make_judge: the judge by a wording.
        on_progress: called with the number of comparisons so far.
    """

    def __init__(
        self, make_judge: MakeJudge, rewriter: Rewriter, seed: int, on_progress: Callable[[int], None]
    ) -> None:
        self._make_judge = make_judge
        self._rewriter = rewriter
        self._seed = seed
        self._on_progress = on_progress
        self._proposals = 0
        self.comparisons = 0

    def evaluate(self, batch: list[ComparisonRow], candidate: Parts, capture_traces: bool = False) -> Any:
        """How a wording judges rows."""
        from gepa.core.adapter import EvaluationBatch

        outcomes = self._make_judge(candidate).compare([row.comparison for row in batch])
        judged = [Judged(row, outcome) for row, outcome in zip(batch, outcomes, strict=True)]
        self.comparisons += len(batch)
        self._on_progress(self.comparisons)
        scores = [each.score for each in judged]
        return EvaluationBatch(outputs=judged, scores=scores, trajectories=judged if capture_traces else None)

    def make_reflective_dataset(
        self, candidate: Parts, eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """The rows that the rewriter sees: those on which the judge is furthest from people first."""
        judged: list[Judged] = sorted(eval_batch.trajectories, key=lambda each: each.score)
        return {name: [{"judged": each} for each in judged[:SHOWN]] for name in components_to_update}

    def propose_new_texts(
        self,
        candidate: Parts,
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> Parts:
        """The parts in other words."""
        texts: Parts = {}
        for name in components_to_update:
            self._proposals += 1
            disputes = [_dispute(each["judged"]) for each in reflective_dataset[name]]
            seed = derive_seed(self._seed, "rewording", self._proposals) % 2**31
            texts[name] = self._rewriter.reword(name, candidate[name], disputes, seed)
        return texts


def _dispute(judged: Judged) -> Dispute:
    said = "none: it failed" if isinstance(judged.outcome, JudgeFailure) else chosen(judged.outcome.p_a)
    return Dispute(judged.row.comparison, majority_of(judged.row), said)


class _Silent:
    """A logger of GEPA that says nothing: its lines quote rows, and the progress is shown otherwise."""

    def log(self, message: str) -> None:
        """Takes a line."""


def search(
    start: Parts,
    adapter: ConstitutionAdapter,
    learning: Sequence[ComparisonRow],
    validation: Sequence[ComparisonRow],
    comparisons: int,
    seed: int,
) -> Found:
    """Searches for wordings that judge the validation rows better.

    Args:
        comparisons: about how many to spend; the search ends after the round in which they are spent.
    """
    from gepa.api import optimize

    adapted: Any = adapter  # its methods have the names and arguments that GEPA calls
    result: Any = optimize(
        seed_candidate=start,
        trainset=list(learning),
        valset=list(validation),
        adapter=adapted,
        reflection_minibatch_size=min(2 * SHOWN, len(learning)),
        skip_perfect_score=False,
        max_metric_calls=comparisons,
        logger=_Silent(),
        seed=seed,
        display_progress_bar=False,
        raise_on_exception=True,
    )
    parents = [of[0] if of else None for of in result.parents]
    return Found(list(result.candidates), parents, list(result.val_aggregate_scores), adapter.comparisons)
