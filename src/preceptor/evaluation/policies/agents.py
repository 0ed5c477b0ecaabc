"""Episodes of agents: how often they succeed, in how many turns, with which tool errors, and whether a judge sees it.

Tasks are the sample: several episodes of one task are not independent. An episode of which the environment does not
know whether it succeeded, because it broke or says nothing, is in no rate and is counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import comb
from statistics import fmean

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate, mean_by_prompt, rate_by_prompt
from preceptor.evaluation.judges.agreement import correctness, kappa, share_by_prompt
from preceptor.judging.steps import GOOD_STEP


@dataclass(frozen=True)
class Episode:
    """An episode of an agent on a task, with what is known of it."""

    prompt_id: str
    cohort: str
    success: bool | None
    """Whether the task was done, by the environment; None if it is not known."""
    turns: int
    tool_calls: int
    tool_errors: int
    judge: float | None = None
    """A judge's score of the whole, above 0 where the judge thinks more of it than of the middle of its scale; None if
    it failed or was not asked."""
    steps: tuple[float | None, ...] = ()
    """A judge's scores of its turns, from 1 to 10. An entry is None if the judge failed; empty if it was not asked."""

    @property
    def every_step_is_good(self) -> bool | None:
        """Whether every turn scores well; None if a score is missing."""
        known = [step for step in self.steps if step is not None]
        return None if not known or len(known) < len(self.steps) else min(known) >= GOOD_STEP


class PassAt(Frozen):
    """How often at least one of k episodes of a task succeeds."""

    k: int
    rate: Estimate


class JudgeAgainstEnvironment(Frozen):
    """How a judge's scores of whole episodes agree with what the environment knows."""

    agreement: Estimate
    """Share of the episodes in which both say that the task was done, or both that it was not. A score in the middle of
    the scale counts one half."""
    kappa: float | None
    """Cohen's kappa of the two; None if it is undefined."""
    prefers_success: Estimate | None
    """Of two episodes of one task of which one succeeded, how often the judge scores that one higher; equal scores
    count one half. None if there are no two such episodes."""
    failures: int
    """Episodes that the judge failed on, of those whose success is known."""


class AgentMeasures(Frozen):
    """The episodes of one policy."""

    cohort: str | None
    """None for all cohorts together."""
    tasks: int
    episodes: int
    unknown: int
    """Episodes of which it is not known whether they succeeded."""
    success: Estimate | None
    """Success rate, with its interval over tasks."""
    pass_at: tuple[PassAt, ...]
    """For k = 1, 2, 4, ... up to the number of episodes of a task. The first is the success rate where all tasks have
    equally many episodes."""
    turns: Estimate | None
    """Turns of an episode."""
    turns_to_success: Estimate | None
    """Turns of an episode that succeeded; over the tasks with one, which are the easier ones."""
    tool_calls: Estimate | None
    """Calls of an episode."""
    tool_errors: Estimate | None
    """Failed calls of an episode."""
    every_step_good: int = 0
    """Episodes whose every turn scores well, by a judge of steps."""
    plan_lost: int = 0
    """Those of them that failed: right steps of a wrong plan."""
    judge: JudgeAgainstEnvironment | None = None
    """None if no judge scored the episodes."""


class AgentChange(Frozen):
    """How a policy's episodes changed, paired by task: after minus before, with intervals over tasks."""

    cohort: str | None
    success: Estimate | None
    turns: Estimate | None
    tool_errors: Estimate | None


class AgentComparison(Frozen):
    """Episodes before and after training; of each, all cohorts together come first."""

    before: tuple[AgentMeasures, ...]
    after: tuple[AgentMeasures, ...]
    change: tuple[AgentChange, ...]

    @property
    def rows(self) -> list[tuple[AgentMeasures, AgentMeasures, AgentChange]]:
        """Before, after and the change, for all cohorts together and for each."""
        return list(zip(self.before, self.after, self.change, strict=True))


def compare_agents(before: Sequence[Episode], after: Sequence[Episode]) -> AgentComparison:
    """The episodes of two policies on the same tasks, overall and by cohort if there are several."""
    cohorts = sorted({episode.cohort for episode in (*before, *after)})
    parts = [None, *(cohorts if len(cohorts) > 1 else [])]
    return AgentComparison(
        before=tuple(measure_agent(before, cohort) for cohort in parts),
        after=tuple(measure_agent(after, cohort) for cohort in parts),
        change=tuple(_change(before, after, cohort) for cohort in parts),
    )


def measure_agent(episodes: Sequence[Episode], cohort: str | None = None) -> AgentMeasures:
    """The measures of a policy's episodes.

    Args:
        cohort: the only cohort that counts; None for all.
    """
    inside = _of(episodes, cohort)
    good = [episode for episode in inside if episode.every_step_is_good]
    return AgentMeasures(
        cohort=cohort,
        tasks=len(_by_task(inside)),
        episodes=len(inside),
        unknown=sum(episode.success is None for episode in inside),
        success=success_rate(inside),
        pass_at=_pass_at(inside),
        turns=_mean(inside, lambda one: one.turns),
        turns_to_success=turns_to_success(inside),
        tool_calls=_mean(inside, lambda one: one.tool_calls),
        tool_errors=_mean(inside, lambda one: one.tool_errors),
        every_step_good=len(good),
        plan_lost=sum(episode.success is False for episode in good),
        judge=judge_against_environment(inside),
    )


def success_rate(episodes: Sequence[Episode]) -> Estimate | None:
    """Mean over tasks of the share of each task's episodes that succeeded, with the interval of a rate over tasks."""
    return rate_by_prompt([[float(success) for success in known] for known in _known(episodes)])


def pass_at_k(episodes: Sequence[Episode], k: int) -> Estimate | None:
    """The probability that at least one of k episodes of a task succeeds, with an interval over tasks.

    For a task with c successes in n episodes, 1 - C(n - c, k) / C(n, k), the unbiased estimator of Chen et al. 2021
    (arXiv 2107.03374, equation 1). Tasks with fewer than k episodes of known success are left out.

    Returns: None if all are left out.
    Raises: ValueError if k is below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; expected at least 1")
    return rate_by_prompt(
        [
            [1.0 - comb(len(known) - sum(known), k) / comb(len(known), k)]
            for known in _known(episodes)
            if len(known) >= k
        ]
    )


def turns_to_success(episodes: Sequence[Episode]) -> Estimate | None:
    """Mean number of turns of the episodes that succeeded, over the tasks that have one."""
    return _mean([episode for episode in episodes if episode.success], lambda one: one.turns)


def judge_against_environment(episodes: Sequence[Episode]) -> JudgeAgainstEnvironment | None:
    """How a judge's scores agree with the environment; None if it scored no episode whose success is known."""
    known = [(episode, episode.success) for episode in episodes if episode.success is not None]
    rows = [(e.prompt_id, _leaning(e.judge), e.success) for e, _ in known if e.judge is not None]
    agreement = share_by_prompt([(task, correctness(p, "a" if done else "b")) for task, p, done in rows])
    if agreement is None:
        return None
    return JudgeAgainstEnvironment(
        agreement=agreement,
        kappa=kappa([(p, "a" if done else "b") for _, p, done in rows]),
        prefers_success=_prefers_success(episodes),
        failures=sum(episode.judge is None for episode, _ in known),
    )


def _prefers_success(episodes: Sequence[Episode]) -> Estimate | None:
    """How often the judge scores the successful one of two episodes of a task higher."""
    values: list[tuple[str, float]] = []
    for task, group in _by_task(episodes).items():
        won, lost = ([e.judge for e in group if e.success is done and e.judge is not None] for done in (True, False))
        values += [(task, _leaning(good - bad)) for good, bad in product(won, lost)]
    return share_by_prompt(values)


def _leaning(score: float) -> float:
    """1 for a score above 0, 0 for one below, one half for 0."""
    return 0.5 + 0.5 * ((score > 0) - (score < 0))


def _pass_at(episodes: Sequence[Episode]) -> tuple[PassAt, ...]:
    most = max(map(len, _known(episodes)), default=0)
    ks = [1 << i for i in range(most.bit_length())]
    rates = [(k, pass_at_k(episodes, k)) for k in ks]
    return tuple(PassAt(k=k, rate=rate) for k, rate in rates if rate is not None)


def _change(before: Sequence[Episode], after: Sequence[Episode], cohort: str | None) -> AgentChange:
    was, now = _of(before, cohort), _of(after, cohort)
    return AgentChange(
        cohort=cohort,
        success=_difference(was, now, lambda one: None if one.success is None else float(one.success)),
        turns=_difference(was, now, lambda one: one.turns),
        tool_errors=_difference(was, now, lambda one: one.tool_errors),
    )


def _difference(
    before: Sequence[Episode], after: Sequence[Episode], value: Callable[[Episode], float | None]
) -> Estimate | None:
    """Mean over tasks of the mean after minus the mean before, over the tasks that have both."""
    was, now = (
        {task: known for task, group in _by_task(episodes).items() if (known := _values(group, value))}
        for episodes in (before, after)
    )
    return mean_by_prompt([[fmean(now[task]) - fmean(was[task])] for task in was if task in now])


def _mean(episodes: Sequence[Episode], value: Callable[[Episode], float]) -> Estimate | None:
    return mean_by_prompt([_values(group, value) for group in _by_task(episodes).values()])


def _values(episodes: Sequence[Episode], value: Callable[[Episode], float | None]) -> list[float]:
    return [float(known) for episode in episodes if (known := value(episode)) is not None]


def _known(episodes: Sequence[Episode]) -> list[list[bool]]:
    """By task, whether each episode succeeded of which that is known."""
    groups = _by_task(episodes).values()
    return [known for group in groups if (known := [e.success for e in group if e.success is not None])]


def _of(episodes: Sequence[Episode], cohort: str | None) -> list[Episode]:
    return [episode for episode in episodes if cohort in (None, episode.cohort)]


def _by_task(episodes: Sequence[Episode]) -> dict[str, list[Episode]]:
    groups: dict[str, list[Episode]] = {}
    for episode in episodes:
        groups.setdefault(episode.prompt_id, []).append(episode)
    return groups
