"""Success of agents: numbers by hand, and planted truths."""

import numpy as np
import pytest

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.agents import (
    Episode,
    compare_agents,
    judge_against_environment,
    measure_agent,
    pass_at_k,
    success_rate,
    turns_to_success,
)


def episode(
    task: str,
    success: bool | None,
    turns: int = 2,
    errors: int = 0,
    judge: float | None = None,
    steps: tuple[float | None, ...] = (),
    cohort: str = "all",
) -> Episode:
    return Episode(task, cohort, success, turns, tool_calls=turns, tool_errors=errors, judge=judge, steps=steps)


def known(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def test_success_is_a_mean_over_tasks_and_what_is_unknown_is_counted() -> None:
    episodes = [episode("a", True), episode("a", False), episode("b", True), episode("b", None), episode("c", None)]
    rate = known(success_rate(episodes))
    assert (rate.value, rate.n) == (0.75, 2)
    measures = measure_agent(episodes)
    assert (measures.tasks, measures.episodes, measures.unknown) == (3, 5, 2)
    assert success_rate([episode("a", None)]) is None


def test_pass_at_k_is_the_share_of_subsets_with_a_success() -> None:
    one = [episode("a", done) for done in (True, False, False, False)]
    assert known(pass_at_k(one, 1)).value == pytest.approx(1 / 4)
    assert known(pass_at_k(one, 2)).value == pytest.approx(1 / 2)  # 3 of the 6 pairs hold the success
    assert known(pass_at_k(one, 4)).value == 1.0
    assert pass_at_k(one, 5) is None
    two = [*one, episode("b", False), episode("b", False)]
    assert known(pass_at_k(two, 2)).value == pytest.approx(1 / 4)
    assert known(pass_at_k(two, 4)).n == 1  # b has too few episodes
    with pytest.raises(ValueError, match="k is 0"):
        pass_at_k(one, 0)


def test_pass_at_k_covers_a_planted_truth() -> None:
    """Tasks succeed with probabilities from a Beta distribution, so that P(one of k) is known exactly."""
    alpha, beta, k, n, tasks = 0.6, 1.4, 4, 8, 40
    truth = 1.0 - np.prod([(beta + i) / (alpha + beta + i) for i in range(k)])
    draw, values, covered, trials = np.random.default_rng(0), [], 0, 300
    for _ in range(trials):
        wins = draw.binomial(n, draw.beta(alpha, beta, tasks))
        rows = [episode(str(t), i < won) for t, won in enumerate(wins) for i in range(n)]
        estimate = known(pass_at_k(rows, k))
        low, high = estimate.interval or (1.0, 0.0)
        covered += low <= truth <= high
        values.append(estimate.value)
    assert np.mean(values) == pytest.approx(truth, abs=0.01)  # unbiased; plugging c / n in would be 0.05 too low
    assert covered / trials >= 0.93


def test_success_covers_a_planted_truth() -> None:
    draw, covered, trials = np.random.default_rng(1), 0, 300
    for _ in range(trials):
        wins = draw.binomial(4, draw.beta(2.0, 3.0, 30))
        rows = [episode(str(t), i < won) for t, won in enumerate(wins) for i in range(4)]
        low, high = known(success_rate(rows)).interval or (1.0, 0.0)
        covered += low <= 0.4 <= high
    assert covered / trials >= 0.93


def test_turns_to_success_leave_failures_out() -> None:
    episodes = [episode("a", True, 2), episode("a", True, 4), episode("b", True, 6), episode("c", False, 8)]
    assert known(turns_to_success(episodes)).value == pytest.approx(4.5)
    assert known(measure_agent(episodes).turns).value == pytest.approx(17 / 3)
    assert turns_to_success([episode("a", False)]) is None


def test_a_judge_is_measured_against_the_environment() -> None:
    episodes = [
        episode("a", True, judge=0.5),
        episode("a", False, judge=-0.5),
        episode("b", True, judge=-0.2),
        episode("b", False, judge=-0.2),
        episode("c", False, judge=0.0),
        episode("c", True, judge=None),
        episode("c", None, judge=1.0),
    ]
    found = judge_against_environment(episodes)
    assert found is not None
    assert found.agreement.value == pytest.approx(3.5 / 5)
    assert found.agreement.low is not None
    assert found.failures == 1
    assert found.prefers_success is not None
    assert found.prefers_success.value == pytest.approx(0.75)  # right for a, a tie for b; c has no second score
    assert found.kappa == pytest.approx(0.5)  # of four decided, three agree; chance agrees in half
    assert judge_against_environment([episode("a", True)]) is None


def test_a_judge_that_ranks_by_a_planted_signal_is_found_to() -> None:
    draw = np.random.default_rng(2)
    rows: list[Episode] = []
    for task in range(400):
        for _ in range(2):
            done = bool(draw.random() < 0.5)
            rows.append(episode(str(task), done, judge=float(draw.normal(1.0 if done else -1.0))))
    found = judge_against_environment(rows)
    assert found is not None
    assert found.agreement.value == pytest.approx(0.8413, abs=0.03)  # Phi(1)
    assert found.prefers_success is not None
    assert found.prefers_success.value == pytest.approx(0.9214, abs=0.03)  # Phi(2 / sqrt 2)
    assert found.kappa == pytest.approx(0.6827, abs=0.06)


def test_good_steps_of_a_lost_plan_are_counted_where_every_step_was_judged() -> None:
    measures = measure_agent(
        [
            episode("a", False, steps=(8.0, 9.0)),
            episode("b", True, steps=(7.0,)),
            episode("c", False, steps=(9.0, None)),
            episode("d", False, steps=(9.0, 6.0)),
            episode("e", None, steps=(9.0,)),
            episode("f", False),
        ]
    )
    assert (measures.every_step_good, measures.plan_lost) == (3, 1)


def test_before_and_after_are_paired_by_task_and_told_by_cohort() -> None:
    before = [episode(f"{t}", False, 4, errors=2, cohort="ab"[t % 2]) for t in range(20)]
    after = [episode(f"{t}", t % 2 == 0, 2 + t % 3, errors=t % 3, cohort="ab"[t % 2]) for t in range(20)]
    found = compare_agents(before, after)
    assert [measures.cohort for measures in found.after] == [None, "a", "b"]
    overall, a, b = (known(change.success) for change in found.change)
    assert (overall.value, a.value, b.value) == (0.5, 1.0, 0.0)
    assert overall.low is not None
    assert overall.low > 0
    assert known(found.change[0].tool_errors).value == pytest.approx(np.mean([t % 3 - 2 for t in range(20)]))
    alone = compare_agents(before[::2], after[1::2])  # no task in common
    assert alone.change[0].success is None
