"""Rewards of episodes: by the environment, and by a judge of their turns."""

from collections.abc import Sequence

import pytest

from conftest import prompt
from judging.judging_examples import CONSTITUTION, fresh_ledger, gives, place, text_of
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ChooseScript, ScriptedModel
from preceptor.core.types import JudgeFailure, Message, Rollout
from preceptor.environments.episodes import EpisodeResult
from preceptor.environments.outcomes import EpisodeOutcome, episode_means
from preceptor.judging.score import ScoreJudge
from preceptor.judging.steps import StepJudge
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import ResponseGroup
from preceptor.training.rl.rewards import (
    EnvironmentReward,
    NoRewardsError,
    Rewarded,
    WeightedReward,
    WithStepScores,
)
from preceptor.training.rl.rewards.combined import rewarded

DIED = EpisodeResult(failure="its process died")
ABSTAINED = EpisodeResult()


def result(reward: float) -> EpisodeResult:
    return EpisodeResult(reward=reward, success=reward >= 1)


def group(results: Sequence[EpisodeResult], said: Sequence[Sequence[str]] | None = None) -> ResponseGroup:
    """A group of episodes.

    Args:
        said: the turns of each; a tool answers each but the last.
    """
    turns_G = said or [["done"]] * len(results)
    tool = Message(role="tool", content="result", name="look")
    trajectories = [[m for t in turns for m in (Message(role="assistant", content=t), tool)][:-1] for turns in turns_G]
    return ResponseGroup(
        prompt("q"),
        tuple(Rollout(prompt_id="id-q", text=t[-1].content, trajectory=tuple(t), tokens=2) for t in trajectories),
        TokenGroup((1,), ((2, 3),) * len(results)),
        tuple(
            EpisodeOutcome(result=r, ending="answered", turns=len(t), tool_calls=len(t) - 1, tool_errors=0)
            for r, t in zip(results, turns_G, strict=True)
        ),
    )


def scores(of: dict[str, int]) -> ChooseScript:
    """A judge of turns that gives those with these words a score, and fails on others."""

    def choose(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        text = text_of(request)
        judged = place(text, "step" if "<step>" in text else "response")
        score = next((score for word, score in of.items() if word in judged), None)
        if score is None:
            return JudgeFailure(reason="refused", detail="it is not known")
        return gives(*(1 - 9e-9 if i == score else 1e-9 for i in range(1, 11)))

    return choose


def with_steps(choose: ChooseScript, *, whole: bool = False) -> WithStepScores:
    model, ledger = ScriptedModel("s", choose), fresh_ledger()
    judge = ScoreJudge(model, CONSTITUTION, ledger) if whole else None
    return WithStepScores(EnvironmentReward(), StepJudge(model, CONSTITUTION, ledger), 0.5, judge)


def told(source: WithStepScores | WeightedReward, *groups: ResponseGroup) -> Rewarded:
    return rewarded(source, groups)


def test_the_environments_reward_is_none_where_it_broke_or_abstained() -> None:
    groups = [group([result(1), result(0.25)]), group([DIED, ABSTAINED])]
    assert EnvironmentReward()(groups) == [[1.0, 0.25], [None, None]]
    with pytest.raises(NoRewardsError, match=r"none of the 2 episodes.*1 times its process died"):
        EnvironmentReward()(groups[1:])


def test_an_episode_whose_environment_broke_has_no_success_and_is_counted() -> None:
    episodes = group([result(1), result(0), DIED, ABSTAINED]).episodes
    assert [episode.success for episode in episodes] == [True, False, None, None]
    means = episode_means(episodes)
    assert (means["success"], means["reward"], means["broken"]) == (0.5, 0.5, 0.25)


def test_turns_have_scores_and_a_failed_one_has_none() -> None:
    source = with_steps(scores({"look": 9, "answer": 2}))
    of_step = told(source, group([result(1), result(0)], [["look", "answer"], ["odd", "answer", "look"]]))
    assert of_step.rewards_PG == [[1.0, 0.0]]
    turns = of_step.turns["steps"]
    assert turns.weight == 0.5
    first, second = turns.scores_PGK[0]
    assert first == pytest.approx([9.0, 2.0], abs=1e-6)
    assert second[0] is None
    assert second[1:] == pytest.approx([2.0, 9.0], abs=1e-6)


def test_a_judge_that_fails_on_every_turn_ends_the_training() -> None:
    with pytest.raises(NoRewardsError, match="all 2 turns"):
        told(with_steps(scores({})), group([result(1), result(0)]))


def test_good_steps_of_a_lost_plan_are_counted_by_the_environment() -> None:
    source = with_steps(scores({"good": 9, "poor": 3}))
    groups = [
        group([result(1), result(0)], [["good"], ["good", "good"]]),
        group([result(0), DIED], [["good", "poor"], ["good"]]),
        group([result(0), result(0)], [["good", "odd"], ["good"]]),
    ]
    turns = told(source, *groups).turns["steps"]
    assert turns.failed_PG == [[False, True], [True, None], [True, True]]
    assert turns.counts() == {"every_step_good": 4.0, "plan_lost": 2.0}


def test_where_the_environment_knows_nothing_the_judge_of_the_whole_says_what_failed() -> None:
    groups = [group([ABSTAINED, result(1), ABSTAINED, ABSTAINED], [["good"], ["good"], ["poor"], ["odd", "good"]])]
    by_judge = with_steps(scores({"odd": 4, "good": 9, "poor": 3}), whole=True)
    assert told(by_judge, *groups).turns["steps"].failed_PG == [[False, False, True, True]]
    by_nobody = with_steps(scores({"odd": 4, "good": 9, "poor": 3}))
    assert told(by_nobody, *groups).turns["steps"].failed_PG == [[None, False, None, None]]


def test_scores_of_turns_go_through_a_weighted_reward_and_groups_can_be_replaced() -> None:
    source = WeightedReward([(with_steps(scores({"good": 9})), 2.0)], ["environment"])
    of_step = told(source, group([result(1)], [["good"]]), group([result(0)], [["good"]]))
    assert of_step.rewards_PG == [[2.0], [0.0]]
    turns = of_step.turns["steps"].copy()
    turns.put(0, of_step.turns["steps"], 1, 1)
    assert turns.failed_PG == [[True], [True]]
    turns.put(1, None, 0, 1)
    assert (turns.failed_PG[1], turns.scores_PGK[1]) == ([None], [[]])
    assert of_step.turns["steps"].failed_PG == [[False], [True]]
