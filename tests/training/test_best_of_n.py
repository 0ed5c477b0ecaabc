"""The best of several responses by reward."""

import math

import pytest

from conftest import prompt
from preceptor.core.types import Prompt, Rollout
from preceptor.store.demonstrations import Demonstration
from preceptor.training.best_of_n import choose_best
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import ResponseGroup


def group(asked: Prompt, *texts: str, cut: tuple[str, ...] = ()) -> ResponseGroup:
    rollouts = tuple(
        Rollout(prompt_id=asked.id, text=text, policy="tiny", tokens=1, finished=text not in cut) for text in texts
    )
    return ResponseGroup(asked, rollouts, TokenGroup((1,), tuple((2,) for _ in texts)))


ASKED = prompt("q")


def test_the_best_by_reward_is_chosen() -> None:
    found, notes = choose_best([group(ASKED, "a", "b", "c")] * 2, [[0.1, 0.7, -2.0], [3.0, 0.7, -2.0]])
    assert found == [Demonstration(ASKED, "b"), Demonstration(ASKED, "a")]
    assert notes == []


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_who_abstained_is_never_chosen(missing: float | None) -> None:
    found, _ = choose_best([group(ASKED, "a", "b", "c")], [[-5.0, missing, -4.0]])
    assert found == [Demonstration(ASKED, "c")]


def test_of_equally_good_ones_the_first_is_chosen() -> None:
    found, _ = choose_best([group(ASKED, "a", "b", "c", "d")], [[0.0, 1.0, 1.0, None]])
    assert found == [Demonstration(ASKED, "b")]


def test_where_there_is_nothing_to_choose_the_group_is_left_out_and_counted() -> None:
    groups = [group(ASKED, "a", "b")] * 5 + [group(ASKED, " ", "b")]
    rewards = [[None, None], [math.nan, None], [0.5, 0.5], [0.5, None], [0.0, 1.0], [1.0, 0.0]]
    found, notes = choose_best(groups, rewards)
    assert found == [None, None, None, None, Demonstration(ASKED, "b"), None]
    assert notes == [
        "2 of 6 prompts left out: no response has a reward",
        "1 of 6 prompts left out: only one response has a reward, so nothing was compared",
        "1 of 6 prompts left out: all rewards are equal, so there is nothing to choose",
        "1 of 6 prompts left out: the best response is empty",
    ]


def test_a_cut_answer_is_no_finished_one() -> None:
    found, _ = choose_best([group(ASKED, "a", "b", cut=("b",))], [[0.0, 1.0]])
    assert found == [Demonstration(ASKED, "b", finished=False)]


def test_rewards_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rewards for \[2\] responses, groups of \[3\]"):
        choose_best([group(ASKED, "a", "b", "c")], [[0.1, 0.7]])
