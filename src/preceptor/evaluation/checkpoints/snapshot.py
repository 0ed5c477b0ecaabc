"""Measurements of a policy at one training step on held-out prompts, overall and by cohort."""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import Field
from scipy import stats

from preceptor.core.types import Frozen, Message
from preceptor.environments.outcomes import EpisodeOutcome
from preceptor.evaluation.checkpoints.readability import likelihood_floor, mean_log_prob, share_unreadable
from preceptor.evaluation.checkpoints.text import distinct_2
from preceptor.evaluation.intervals import Estimate, jackknife, mean_by_prompt, perplexity, rate_by_prompt
from preceptor.evaluation.policies.rubric_items import RubricItemMet


class MeasuredResponse(Frozen):
    """One response to a held-out prompt, with all its measurements."""

    prompt_id: str
    cohort: str
    prompt: str
    text: str
    tokens: int
    finished: bool
    kl: float | None
    """log π - log π_ref of the response, in nats; None if not measured."""
    judge_score: float | None
    """The training judge's reward; None if the judge failed or was not asked."""
    choice_mass: float | None
    """Total probability that the judge gave to its choices; None if it failed or was not asked."""
    heldout_score: float | None
    """The held-out measure, which takes no part in training; None if it failed or there is none."""
    reference_log_likelihood: float | None = None
    """log π_ref of the response, in nats; None if not measured."""
    rubric: tuple[RubricItemMet, ...] = Field(default=(), exclude_if=lambda items: not items)
    """The items of the prompt's rubric, if the training judge judges by rubrics."""
    trajectory: tuple[Message, ...] = Field(default=(), exclude_if=lambda messages: not messages)
    """Every message after the prompt, if an agent acted in an environment; this and the two below are absent elsewhere.
    """
    episode: EpisodeOutcome | None = Field(default=None, exclude_if=lambda episode: episode is None)
    steps: tuple[float | None, ...] = Field(default=(), exclude_if=lambda steps: not steps)
    """The training judge's scores of an agent's turns, from 1 to 10, if it was asked; None where it failed."""
    thought: str | None = Field(default=None, exclude_if=lambda thought: thought is None)
    """What the policy thought before it answered, if it thinks; nothing measures it but its tokens and the KL."""
    thought_tokens: int = Field(default=0, ge=0, exclude_if=lambda tokens: not tokens)
    """How many of the tokens are the thought's."""
    unfinished_thought: bool = Field(default=False, exclude_if=lambda unfinished: not unfinished)
    """Whether the thought did not end. Then the text is empty, and is measured as the empty answer that it is."""


class MeasuredReference(Frozen):
    """The policy's likelihood of one fixed reference answer."""

    prompt_id: str
    cohort: str
    log_likelihood: float
    tokens: int = Field(ge=1)


T = TypeVar("T", MeasuredResponse, MeasuredReference)


class Measure(Frozen):
    """An estimate overall and for each cohort."""

    overall: Estimate | None
    by_cohort: dict[str, Estimate | None]


MeasureName: TypeAlias = Literal[
    "judge_score",
    "heldout_score",
    "kl",
    "tokens_mean",
    "length_limit_share",
    "distinct_2",
    "reference_perplexity",
]


class Measures(Frozen):
    """The measures of one step, without the measured responses."""

    step: int
    judge_score: Measure
    """Mean reward by the training judge or the reward model."""
    heldout_score: Measure
    kl: Measure
    """KL to the reference, in nats per response."""
    tokens_mean: Measure
    """Tokens per response."""
    length_limit_share: Measure
    """Share of responses that the length limit cut."""
    distinct_2: Measure
    reference_perplexity: Measure
    """Perplexity on the reference answers."""
    judge_failures: int
    heldout_failures: int
    choice_mass: float | None
    """Mean total probability that the judge gave to its choices."""
    judge_agreement: float | None
    """Spearman's rank correlation of judge and held-out measure over responses."""
    unfinished_thoughts: int | None = Field(default=None, exclude_if=lambda count: count is None)
    """Responses without an answer, because the thought did not end; None of a policy that does not think."""
    thought_tokens: Measure | None = Field(default=None, exclude_if=lambda tokens: tokens is None)
    """Tokens per thought, of a policy that thinks."""

    def measure(self, name: MeasureName) -> Measure:
        """The measure of that name."""
        return getattr(self, name)


class Snapshot(Frozen):
    """Everything that was measured at one step."""

    step: int
    responses: tuple[MeasuredResponse, ...]
    references: tuple[MeasuredReference, ...]
    rollout_kl: Estimate | None = None
    """Mean KL of the responses of the newest training step, if this snapshot's responses have no KL."""
    graded: bool | None = None
    """Whether the training judge was asked. None in files of earlier versions: it was if any response has a score.
    """
    measured: bool | None = None
    """Whether there is a held-out measure. None in files of earlier versions: there is if any response has a score.
    """

    @property
    def is_graded(self) -> bool:
        """Whether the training judge was asked about the responses."""
        return any(r.judge_score is not None for r in self.responses) if self.graded is None else self.graded

    @property
    def is_measured(self) -> bool:
        """Whether there is a held-out measure, which may have failed on every response."""
        return any(r.heldout_score is not None for r in self.responses) if self.measured is None else self.measured

    @property
    def acts(self) -> bool:
        """Whether the responses are episodes of an agent."""
        return any(r.episode is not None for r in self.responses)

    @property
    def facts(self) -> dict[str, float | None]:
        """Numbers for the progress display, by name: held-out score with its interval, judge's score, KL."""
        held_out, means = self.heldout_score.overall, {"judge_score": self.judge_score, "kl": self.kl}
        return {
            "heldout_score": held_out and held_out.value,
            "heldout_score_low": held_out and held_out.low,
            "heldout_score_high": held_out and held_out.high,
            **{name: measure.overall and measure.overall.value for name, measure in means.items()},
        }

    @cached_property
    def judge_score(self) -> Measure:
        """Mean reward by the training judge."""
        return self._mean(lambda r: r.judge_score)

    @cached_property
    def heldout_score(self) -> Measure:
        """Mean of the held-out measure."""
        return self._mean(lambda r: r.heldout_score)

    @cached_property
    def kl(self) -> Measure:
        """Mean KL to the reference per response, in nats."""
        measured = self._mean(lambda r: r.kl)
        return measured if measured.overall is not None else Measure(overall=self.rollout_kl, by_cohort={})

    @cached_property
    def tokens_mean(self) -> Measure:
        """Mean number of tokens per response."""
        return self._mean(lambda r: float(r.tokens))

    @cached_property
    def length_limit_share(self) -> Measure:
        """Share of responses that the length limit cut."""
        return _measure(
            self.responses,
            lambda rs: rate_by_prompt([[float(not r.finished) for r in group] for group in by_prompt(rs).values()]),
        )

    @cached_property
    def distinct_2(self) -> Measure:
        """Distinct-2 of all responses together."""
        return _measure(
            self.responses,
            lambda rs: jackknife([[r.text for r in group] for group in by_prompt(rs).values()], distinct_2),
        )

    @cached_property
    def reference_perplexity(self) -> Measure:
        """Perplexity on the reference answers; its cohorts are those of the references."""
        return _measure(
            self.references,
            lambda rs: perplexity([r.log_likelihood for r in rs], [r.tokens for r in rs]),
        )

    @cached_property
    def judge_failures(self) -> int:
        """Responses that the judge failed on; 0 if it was not asked."""
        return sum(r.judge_score is None for r in self.responses) if self.is_graded else 0

    @cached_property
    def heldout_failures(self) -> int:
        """Responses that the held-out measure failed on; 0 if there is no such measure."""
        return sum(r.heldout_score is None for r in self.responses) if self.is_measured else 0

    @cached_property
    def choice_mass(self) -> float | None:
        """Mean total probability that the judge gave to its choices."""
        masses = [r.choice_mass for r in self.responses if r.choice_mass is not None]
        return sum(masses) / len(masses) if masses else None

    @cached_property
    def thinks(self) -> bool:
        """Whether the policy thought before it answered."""
        return any(r.thought is not None for r in self.responses)

    @cached_property
    def unfinished_thoughts(self) -> int | None:
        """Responses without an answer, because the thought did not end; None if the policy does not think."""
        return sum(r.unfinished_thought for r in self.responses) if self.thinks else None

    @cached_property
    def thought_tokens(self) -> Measure | None:
        """Mean number of tokens per thought; None if the policy does not think."""
        return self._mean(lambda r: float(r.thought_tokens)) if self.thinks else None

    @cached_property
    def judge_agreement(self) -> float | None:
        """Spearman's rank correlation of judge and held-out measure over responses; None if undefined."""
        pairs = [
            (r.judge_score, r.heldout_score)
            for r in self.responses
            if r.judge_score is not None and r.heldout_score is not None
        ]
        if len({a for a, _ in pairs}) < 2 or len({b for _, b in pairs}) < 2:
            return None
        result: Any = stats.spearmanr([a for a, _ in pairs], [b for _, b in pairs])
        return float(result.statistic)

    def of_prompts(self, prompts: Collection[str]) -> "Snapshot":
        """The snapshot restricted to these prompt ids."""
        return self.with_responses([r for r in self.responses if r.prompt_id in prompts])

    def at(self, step: int) -> "Snapshot":
        """The same measurement as that of another step."""
        return Snapshot(
            step=step,
            responses=self.responses,
            references=self.references,
            rollout_kl=self.rollout_kl,
            graded=self.graded,
            measured=self.measured,
        )

    def with_responses(self, responses: Sequence[MeasuredResponse], graded: bool | None = None) -> "Snapshot":
        """The snapshot with other responses. (pydantic's copy would keep cached values of the old ones.)

        Args:
            graded: whether the training judge was asked about them; None keeps the present value.
        """
        return Snapshot(
            step=self.step,
            responses=tuple(responses),
            references=self.references,
            rollout_kl=self.rollout_kl,
            graded=self.is_graded if graded is None else graded,
            measured=self.is_measured,
        )

    @cached_property
    def likelihood_floor(self) -> float | None:
        """For a snapshot of the reference itself: the likelihood below which a text is not in its language."""
        return likelihood_floor(self._mean_log_probs())

    def unreadable(self, floor: float | None) -> float | None:
        """Share of responses that a person could not read; None for an agent's, whose calls of tools are no prose. What
        has no answer because its thought did not end is counted as that, and not here.

        Args:
            floor: the reference's `likelihood_floor`.
        """
        if self.acts:
            return None
        measured = zip(self.responses, self._mean_log_probs(), strict=True)
        answered = [(r.text, log_prob) for r, log_prob in measured if not r.unfinished_thought]
        return share_unreadable([text for text, _ in answered], [log_prob for _, log_prob in answered], floor)

    def summary(self) -> Measures:
        """Every measure, without the responses."""
        return Measures(
            step=self.step,
            judge_score=self.judge_score,
            heldout_score=self.heldout_score,
            kl=self.kl,
            tokens_mean=self.tokens_mean,
            length_limit_share=self.length_limit_share,
            distinct_2=self.distinct_2,
            reference_perplexity=self.reference_perplexity,
            judge_failures=self.judge_failures,
            heldout_failures=self.heldout_failures,
            choice_mass=self.choice_mass,
            judge_agreement=self.judge_agreement,
            unfinished_thoughts=self.unfinished_thoughts,
            thought_tokens=self.thought_tokens,
        )

    def _mean_log_probs(self) -> list[float | None]:
        """Mean log-probability per token under the reference, for each response."""
        known = [(r.reference_log_likelihood, r.tokens) for r in self.responses]
        return [None if log_prob is None else mean_log_prob(log_prob, tokens) for log_prob, tokens in known]

    def _mean(self, value: Callable[[MeasuredResponse], float | None]) -> Measure:
        def estimate(responses: Sequence[MeasuredResponse]) -> Estimate | None:
            return mean_by_prompt(
                [[v for r in group if (v := value(r)) is not None] for group in by_prompt(responses).values()]
            )

        return _measure(self.responses, estimate)


def change(before: Snapshot, after: Snapshot) -> Estimate | None:
    """Mean change of the held-out measure between two snapshots, paired by prompt, on the prompts in both."""
    changes = differences(before, after, lambda r: r.heldout_score)
    return mean_by_prompt([[difference] for difference in changes.values()])


def differences(
    before: Snapshot, after: Snapshot, value: Callable[[MeasuredResponse], float | None]
) -> dict[str, float]:
    """For each prompt with a value in both snapshots, the mean over its responses after minus the mean before."""
    earlier, later = (
        {
            name: [known for r in group if (known := value(r)) is not None]
            for name, group in by_prompt(snapshot.responses).items()
        }
        for snapshot in (before, after)
    )
    return {
        name: _mean(values) - _mean(earlier[name]) for name, values in later.items() if values and earlier.get(name)
    }


def _measure(items: Sequence[T], estimate: Callable[[Sequence[T]], Estimate | None]) -> Measure:
    cohorts = sorted({item.cohort for item in items})
    return Measure(
        overall=estimate(items),
        by_cohort={cohort: estimate([item for item in items if item.cohort == cohort]) for cohort in cohorts},
    )


def by_prompt(responses: Sequence[MeasuredResponse]) -> dict[str, list[MeasuredResponse]]:
    """The responses to each prompt, by prompt id, in order."""
    groups: dict[str, list[MeasuredResponse]] = {}
    for response in responses:
        groups.setdefault(response.prompt_id, []).append(response)
    return groups


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
