"""Every checkpoint of a run on the same prompts: training reward, held-out score and capability by step."""

from collections.abc import Callable, Sequence

from preceptor.core.types import Frozen, JsonObject
from preceptor.evaluation.checkpoints.choose import Bounds, OverOptimisation, choose_checkpoint, find_over_optimisation
from preceptor.evaluation.checkpoints.snapshot import Measure, MeasuredResponse, Snapshot, differences
from preceptor.evaluation.intervals import Estimate, mean_by_prompt
from preceptor.evaluation.policies.compute import TextMeasure
from preceptor.evaluation.policies.rates import Rate, rates
from preceptor.evaluation.signs import holm, sign_flip_p_value


class SweepPoint(Frozen):
    """One checkpoint. All checkpoints answered the same prompts with the same random numbers."""

    step: int
    kl: Measure
    """KL to the reference, in nats per response."""
    training_reward: Measure
    """Reward by the run's own judge or reward model; estimates are None if it has none."""
    heldout: Measure
    """Score by the measure that took no part in training; estimates are None if there is none."""
    perplexity: Measure
    """Perplexity on the reference answers."""
    perplexity_ratio: float | None
    """Perplexity over that of the untrained policy."""
    distinct_2: Measure
    tokens: Measure
    """Per response."""
    rates: dict[str, Measure]
    """Measures that need no judge: refusals, and task scores on prompts with a reference answer."""
    gain: Measure
    """Change of the held-out score from the untrained policy, paired by prompt, on the test prompts."""
    p_holm: float | None
    """p-value of no change over all test prompts, by sign flips, with Holm's correction over checkpoints."""
    reward_failures: int
    """Responses without a training reward: all of them if the run has neither judge nor reward model."""
    heldout_failures: int
    excluded: str | None
    """The bound that it breaks; None if it keeps all."""

    @property
    def better(self) -> bool:
        """Whether the held-out score rose beyond chance, corrected for all checkpoints."""
        return self._beyond(lambda low, _: low > 0)

    @property
    def worse(self) -> bool:
        """Whether the held-out score fell beyond chance, corrected for all checkpoints."""
        return self._beyond(lambda _, high: high < 0)

    def _beyond(self, apart: Callable[[float, float], bool]) -> bool:
        gain = self.gain.overall
        if gain is None or self.p_holm is None:
            return False
        low, high = (gain.value if end is None else end for end in (gain.low, gain.high))
        return self.p_holm < 0.05 and apart(low, high)


class Sweep(Frozen):
    """A run's checkpoints, the untrained policy first."""

    title: str
    held_out: str | None
    """The name of the held-out measure, for sentences; None if there is none."""
    training_reward: str | None
    """The name of the training reward; None if the run has no judge and no reward model."""
    heldout_judge_trained: bool
    """Whether the held-out judge is a model that judged in training."""
    bounds: Bounds
    samples: int
    """Responses to each prompt."""
    cohorts: dict[str, int]
    """The number of prompts by cohort."""
    trained_on: int
    """How many of these prompts the run was trained on."""
    validation: int = 0
    """How many of them are used to choose the best checkpoint; no change is claimed on these. 0 if there are too few to
    split, so that all of them are used both to choose and to test."""
    points: tuple[SweepPoint, ...]
    best_step: int
    """The step with the highest held-out score within the bounds, on the validation prompts; without a held-out
    measure, the last step within the bounds. The training reward has no say."""
    kept_step: int | None
    """The step that the run itself kept; None if it is not finished."""
    over_optimisation: OverOptimisation
    facts: JsonObject
    """Settings and versions: texts, numbers, or a dict of them."""

    @property
    def prompts(self) -> int:
        """Prompts of all cohorts."""
        return sum(self.cohorts.values())

    @property
    def start(self) -> SweepPoint:
        """The untrained policy."""
        return self.points[0]

    @property
    def best(self) -> SweepPoint:
        """The checkpoint that is best within the bounds."""
        return next(point for point in self.points if point.step == self.best_step)


class Measured(Frozen):
    """What a sweep measured, and under which conditions."""

    title: str
    held_out: str | None
    training_reward: str | None
    heldout_judge_trained: bool
    samples: int
    trained_on: int
    kept_step: int | None
    facts: JsonObject
    validation: tuple[str, ...] = ()
    """Ids of the prompts used to choose the checkpoint; if empty, all are."""


def sweep(
    snapshots: Sequence[Snapshot], bounds: Bounds, measured: Measured, measures: Sequence[TextMeasure] = ()
) -> Sweep:
    """Compares all checkpoints of a run.

    Args:
        snapshots: by step, the untrained policy first; all on the same prompts.
        measures: measures of their responses; the step is the name of the policy.

    Raises: ValueError without a measurement of the untrained policy.
    """
    if not snapshots or snapshots[0].step != 0:
        raise ValueError("the first measurement must be of step 0")
    validation = set(measured.validation)
    asked = {response.prompt_id for response in snapshots[0].responses}
    choosing, test = validation or asked, asked - validation
    choice = choose_checkpoint([snapshot.of_prompts(choosing) for snapshot in snapshots], bounds)
    tested = [snapshot.of_prompts(test) for snapshot in snapshots]
    all_rates = [rate for measure in measures for rate in rates(measure.name, measure.texts)]
    points = [
        _point(snapshots[0], snapshot, all_rates, choice.excluded.get(snapshot.step)).model_copy(
            update={"gain": _gain(tested[0], on_test)}
        )
        for snapshot, on_test in zip(snapshots, tested, strict=True)
    ]
    p_values = [sign_flip_p_value(list(differences(tested[0], now, heldout_of).values())) for now in tested[1:]]
    corrected = [None, *holm(p_values)]
    return Sweep(
        title=measured.title,
        held_out=measured.held_out,
        training_reward=measured.training_reward,
        heldout_judge_trained=measured.heldout_judge_trained,
        bounds=bounds,
        samples=measured.samples,
        cohorts=_prompts_by_cohort(snapshots[0]),
        trained_on=measured.trained_on,
        validation=len(validation),
        points=tuple(p.model_copy(update={"p_holm": p_holm}) for p, p_holm in zip(points, corrected, strict=True)),
        best_step=choice.step,
        kept_step=measured.kept_step,
        over_optimisation=find_over_optimisation(snapshots, bounds),
        facts=measured.facts,
    )


def heldout_of(response: MeasuredResponse) -> float | None:
    """The held-out score."""
    return response.heldout_score


def _point(start: Snapshot, now: Snapshot, all_rates: Sequence[Rate], excluded: str | None) -> SweepPoint:
    before, after = start.reference_perplexity.overall, now.reference_perplexity.overall
    return SweepPoint(
        step=now.step,
        kl=now.kl,
        training_reward=now.judge_score,
        heldout=now.heldout_score,
        perplexity=now.reference_perplexity,
        perplexity_ratio=after.value / before.value if before is not None and after is not None else None,
        distinct_2=now.distinct_2,
        tokens=now.tokens_mean,
        rates=_rates([rate for rate in all_rates if rate.policy == str(now.step)]),
        gain=_gain(start, now),
        p_holm=None,
        reward_failures=now.judge_failures,
        heldout_failures=now.heldout_failures,
        excluded=excluded,
    )


def _gain(start: Snapshot, now: Snapshot) -> Measure:
    gained = differences(start, now, heldout_of)
    cohort_of = {response.prompt_id: response.cohort for response in now.responses}

    def over(prompts: Sequence[str]) -> Estimate | None:
        return mean_by_prompt([[gained[prompt]] for prompt in prompts])

    by_cohort = {
        cohort: over([prompt for prompt in gained if cohort_of[prompt] == cohort])
        for cohort in sorted(set(cohort_of.values()))
    }
    return Measure(overall=over(list(gained)), by_cohort=by_cohort)


def _rates(of_step: Sequence[Rate]) -> dict[str, Measure]:
    """The rates of one checkpoint, by measure."""
    return {
        name: Measure(
            overall=next((rate.value for rate in of_step if (rate.measure, rate.cohort) == (name, None)), None),
            by_cohort={rate.cohort: rate.value for rate in of_step if rate.measure == name and rate.cohort is not None},
        )
        for name in dict.fromkeys(rate.measure for rate in of_step)
    }


def _prompts_by_cohort(snapshot: Snapshot) -> dict[str, int]:
    cohort_of = {response.prompt_id: response.cohort for response in snapshot.responses}
    cohorts = list(cohort_of.values())
    return {cohort: cohorts.count(cohort) for cohort in dict.fromkeys(cohorts)}
