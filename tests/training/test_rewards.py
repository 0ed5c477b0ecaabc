"""Rewards on hand numbers: comparisons with siblings and a reference, functions, sums, post-processing."""

import asyncio
import logging
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from judging.judging_examples import CONSTITUTION, fresh_ledger, gives, place, text_of
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import JudgeFailure, Message, Prompt, Response, Rollout
from preceptor.judging.constitution import load_constitution
from preceptor.judging.groups.design import PairDesign
from preceptor.judging.groups.listwise import ListwiseJudge
from preceptor.judging.groups.play import ComparedGroups
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.score import ScoreJudge
from preceptor.judging.scored import ScoredPairJudge
from preceptor.judging.settings import PairwiseSettings
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import ResponseGroup
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.rewards import (
    AgainstReference,
    CallableReward,
    GroupReward,
    JudgeReward,
    PairwiseReward,
    PostProcessed,
    RewardSource,
    WeightedReward,
    load_reward_function,
)
from preceptor.training.rl.rewards.combined import stripped, whitened

Rewards = list[list[float | None]]


def group(question: str, *texts: str, **about: Any) -> ResponseGroup:
    """Responses whose tokens are as many as their words, and one for the end."""
    asked = Prompt(id=f"id-{question}", conversation=(Message(role="user", content=question),), **about)
    counts = [len(text.split()) + 1 for text in texts]
    rollouts = [
        Rollout(prompt_id=asked.id, text=t, tokens=n, finished=True) for t, n in zip(texts, counts, strict=True)
    ]
    return ResponseGroup(asked, tuple(rollouts), TokenGroup((1,), tuple(tuple(range(n)) for n in counts)))


# A Bradley-Terry judge: the log-odds of a preference are the difference of two utilities.
UTILITY = {"good": 1.5, "fair": 0.5, "poor": -1.0, "vile": -40.0, "fine": 40.0, "so-so": 0.0, "bad": -0.5}


def by_utility(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
    first, second = (place(text_of(request), tag) for tag in ("response_1", "response_2"))
    if "broken" in (first, second):
        return JudgeFailure(reason="refused", detail="broken")
    if {first, second} == {"fair", "poor"} and "flaky" in text_of(request):
        return JudgeFailure(reason="no_answer", detail="flaky")
    z = UTILITY[first] - UTILITY[second]
    log_p = -math.log1p(math.exp(-z)) if z > -30 else z
    return ChoiceLogProbs((log_p, log_p - z))


def judge(model: ScriptedModel | None = None, **settings: Any) -> PairwiseJudge:
    asked = model or ScriptedModel("s", by_utility)
    return PairwiseJudge(asked, CONSTITUTION, PairwiseSettings(**settings), fresh_ledger())


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


# Comparisons among siblings.


def test_log_odds_are_the_utility_less_the_groups_mean() -> None:
    """Utilities 1.5, 0.5, -1 with the mean 1/3; and of two, a difference that is the log-odds of the preference."""
    rewards = PairwiseReward(judge(), "log_odds")([group("q", "good", "fair", "poor"), group("r", "poor", "good")])
    assert rewards[0] == pytest.approx([1.5 - 1 / 3, 0.5 - 1 / 3, -1 - 1 / 3])
    low, high = rewards[1]
    assert low is not None and high is not None
    assert high - low == pytest.approx(2.5)
    assert high == pytest.approx(1.25)


def test_the_expectation_is_the_mean_margin_over_siblings() -> None:
    [rewards] = PairwiseReward(judge(), "expectation")([group("q", "good", "fair", "poor")])
    over_fair, over_poor, fair_poor = (2 * sigmoid(z) - 1 for z in (1.0, 2.5, 1.5))
    assert rewards == pytest.approx(
        [(over_fair + over_poor) / 2, (fair_poor - over_fair) / 2, -(over_poor + fair_poor) / 2]
    )


def test_log_odds_are_bounded() -> None:
    bound = math.log((1 - 1e-6) / 1e-6)
    [rewards] = PairwiseReward(judge(), "log_odds")([group("q", "fine", "vile")])
    assert rewards == pytest.approx([bound / 2, -bound / 2])
    [rewards] = PairwiseReward(judge(), "expectation")([group("q", "fine", "vile")])
    assert rewards == pytest.approx([1.0, -1.0])


def test_failed_comparisons_are_left_out_and_the_rest_is_scaled() -> None:
    """Without fair against poor, each of them is known against good only: 2/3 of one difference of utilities."""
    [rewards] = PairwiseReward(judge(), "log_odds")([group("flaky", "good", "fair", "poor")])
    assert rewards == pytest.approx([(1.0 + 2.5) / 3, 2 / 3 * -1.0, 2 / 3 * -2.5])
    [rewards] = PairwiseReward(judge(), "expectation")([group("flaky", "good", "fair", "poor")])
    assert rewards[1] == pytest.approx(2 * sigmoid(-1.0) - 1)


def test_a_response_without_a_comparison_abstains_and_a_failed_group_abstains_whole() -> None:
    reward = PairwiseReward(judge(), "log_odds")
    rewards = reward([group("q", "good", "broken", "poor"), group("r", "broken", "good")])
    assert rewards == [[pytest.approx(2 / 3 * 2.5), None, pytest.approx(-2 / 3 * 2.5)], [None, None]]
    with pytest.raises(
        PreceptorError, match=r"failed on all 1 comparisons of a step: 1 times refused \(order ab: broken"
    ):
        reward([group("r", "broken", "good")])


def test_identical_siblings_are_one_response_to_the_judge() -> None:
    model = ScriptedModel("s", by_utility)
    rewards = PairwiseReward(judge(model), "log_odds")([group("q", "good", "poor", "good"), group("r", "fair", "fair")])
    assert rewards == [pytest.approx([1.25, -1.25, 1.25]), [None, None]]
    assert len(model.asked) == 2  # one comparison, in both orders


def test_a_step_without_siblings_cannot_be_compared() -> None:
    with pytest.raises(PreceptorError, match=r"need rl\.group_size of at least 2"):
        PairwiseReward(judge(), "log_odds")([group("q", "good"), group("r", "fair")])
    rewards = PairwiseReward(judge(), "log_odds")([group("q", "good"), group("r", "fair", "poor")])
    assert rewards == [[None], pytest.approx([0.75, -0.75])]


def test_which_sibling_came_first_changes_neither_question_nor_reward() -> None:
    """Shown once, by an order of the texts; a judge with sampled principles asks the same about the same two."""
    model = ScriptedModel("s", by_utility)
    single = judge(model, order="single", principles="sampled")
    [forth] = PairwiseReward(single, "log_odds")([group("q", "good", "poor")])
    [back] = PairwiseReward(single, "log_odds")([group("q", "poor", "good")])
    assert forth == pytest.approx([1.25, -1.25])
    assert back == forth[::-1]
    assert len(model.asked) == 1


def test_a_judge_that_only_scores_rewards_by_comparison_too() -> None:
    """p = (1 + .9 - .3) / 2 = .8 from the probabilities of "positive" of two responses scored alone."""

    def positive(request: ChooseRequest) -> ChoiceLogProbs:
        p = 0.9 if "lovely" in text_of(request).rsplit("Text: ", 1)[-1] else 0.3
        return gives(p, 1 - p)

    warm = load_constitution("warm_tone")
    alone = ScoredPairJudge(ScriptedModel("s", positive), warm, PairwiseSettings(shown="alone"), fresh_ledger())
    assert PairwiseReward(alone, "expectation")([group("q", "lovely", "sad")]) == [pytest.approx([0.6, -0.6])]


# By strengths within the group.


def by_design(design: PairDesign, model: ScriptedModel | None = None) -> ComparedGroups:
    return ComparedGroups(judge(model), design)


@pytest.mark.parametrize("design", ["circular", "anchor", "swiss", "knockout"])
def test_strengths_are_the_rewards_of_all_pairs_for_fewer_calls(design: PairDesign) -> None:
    """Of a Bradley-Terry judge, up to the weak prior."""
    texts = ("good", "fair", "poor", "so-so", "bad")
    model = ScriptedModel("s", by_utility)
    [pairs] = PairwiseReward(judge(), "log_odds")([group("q", *texts)])
    [rewards] = GroupReward(by_design(design, model), "log_odds")([group("q", *texts)])
    assert rewards == pytest.approx(pairs, abs=0.2)
    assert len(model.asked) <= 12  # of 20
    [pairs] = PairwiseReward(judge(), "expectation")([group("q", *texts)])
    [rewards] = GroupReward(by_design(design), "expectation")([group("q", *texts)])
    assert rewards == pytest.approx(pairs, abs=0.05)


def test_identical_siblings_share_a_strength_and_lone_ones_abstain() -> None:
    rewards = GroupReward(by_design("swiss"), "log_odds")([group("q", "good", "poor", "good"), group("r", "fair")])
    assert rewards == [pytest.approx([1.25, -1.25, 1.25], rel=0.05), [None]]
    assert rewards[0][0] == rewards[0][2]


def test_the_smaller_part_of_a_cut_group_abstains(caplog: pytest.LogCaptureFixture) -> None:
    """Only two pairs of a group of five can be compared with each other: three of these, and two of those."""
    one, other = ("good", "fair", "poor"), ("so-so", "bad")

    def within(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        shown = {place(text_of(request), tag) for tag in ("response_1", "response_2")}
        apart = not (shown <= set(one) or shown <= set(other))
        return JudgeFailure(reason="refused", detail="apart") if apart else by_utility(request)

    with caplog.at_level(logging.WARNING, "preceptor"):
        reward = GroupReward(by_design("all", ScriptedModel("s", within)), "log_odds")
        [rewards] = reward([group("q", *one, *other)])
    assert rewards[:3] == pytest.approx([1.5 - 1 / 3, 0.5 - 1 / 3, -1 - 1 / 3], abs=0.05)
    assert rewards[3:] == [None, None]
    assert "1 of 1 groups" in caplog.text


def test_a_judge_that_always_fails_ends_the_training_here_too() -> None:
    with pytest.raises(PreceptorError, match="failed on all 1 judgements of groups"):
        GroupReward(by_design("circular"), "log_odds")([group("r", "broken", "good")])


def test_a_list_needs_one_call_for_each_order() -> None:
    def best(request: ChooseRequest) -> ChoiceLogProbs:
        shown = re.findall(r"<response_\d+>\n(.*?)\n</response", text_of(request))
        odds = [math.exp(UTILITY[text]) for text in shown]
        return gives(*(each / sum(odds) for each in odds))

    model = ScriptedModel("s", best)
    reward = GroupReward(ListwiseJudge(model, CONSTITUTION, fresh_ledger()), "log_odds")
    assert reward([group("q", "good", "fair", "poor")]) == [pytest.approx([1.5 - 1 / 3, 0.5 - 1 / 3, -1 - 1 / 3])]
    assert len(model.asked) == 4


def test_strengths_need_siblings() -> None:
    with pytest.raises(PreceptorError, match=r"rl\.group_size of at least 2"):
        GroupReward(by_design("swiss"), "log_odds")([group("q", "good")])


# Against a response of the reference.


def opponents(*texts: str) -> Callable[[Sequence[ResponseGroup]], list[Response]]:
    return lambda groups: [Response(prompt_id=g.prompt.id, text=t) for g, t in zip(groups, texts, strict=True)]


def test_each_response_against_the_references() -> None:
    groups = [group("q", "good", "poor", "broken"), group("r", "fair", "fair")]
    rewards = AgainstReference(judge(), "log_odds", opponents("fair", "poor"))(groups)
    assert rewards == [[pytest.approx(1.0), pytest.approx(-1.5), None], pytest.approx([1.5, 1.5])]
    [row, _] = AgainstReference(judge(), "expectation", opponents("fair", "poor"))(groups)
    assert row[:2] == pytest.approx([2 * sigmoid(1.0) - 1, 2 * sigmoid(-1.5) - 1])
    with pytest.raises(PreceptorError, match="failed on all 5 comparisons"):
        AgainstReference(judge(), "log_odds", opponents("broken", "broken"))(
            [group("q", "good", "poor", "broken"), group("r", "fair", "good")]
        )


def test_the_answer_of_the_reference_itself_is_judged_and_not_assumed() -> None:
    model = ScriptedModel("s", by_utility)
    rewards = AgainstReference(judge(model), "log_odds", opponents("fair"))([group("q", "fair", "good", "good")])
    assert rewards == [pytest.approx([0.0, 1.0, 1.0])]
    assert len(model.asked) == 1 + 2  # both orders of the same text are one question; "good" is judged once


# Functions.


def test_a_function_is_called_as_trl_calls_it() -> None:
    given: dict[str, Any] = {}

    def reward(prompts: Any, completions: Any, completion_ids: Any, trainer_state: Any = None, **columns: Any) -> Any:
        given.update(
            columns, prompts=prompts, completions=completions, completion_ids=completion_ids, state=trainer_state
        )
        return [1.0, None, float("nan"), 2]

    groups = [group("q", "one", "two words", reference="ref", cohort="c", metadata={"answer": 4}), group("r", "x", "y")]
    source = CallableReward(reward, trainer_state=lambda: "state")
    assert source(groups) == [[1.0, None], [None, 2.0]]
    asked = [[{"role": "user", "content": "q"}]] * 2 + [[{"role": "user", "content": "r"}]] * 2
    assert given.pop("log_extra")("column", []) is None
    assert given.pop("log_metric")("name", 1.0) is None
    assert given == {
        "prompts": asked,
        "completions": [[{"role": "assistant", "content": text}] for text in ("one", "two words", "x", "y")],
        "completion_ids": [[0, 1], [0, 1, 2], [0, 1], [0, 1]],
        "reference": ["ref", "ref", None, None],
        "cohort": ["c", "c", "all", "all"],
        "answer": [4, 4, None, None],
        "state": "state",
    }
    assert source.name == "reward"


def test_a_function_is_given_what_it_names_and_asynchronous_ones_share_a_loop() -> None:
    loops: list[Any] = []

    async def lengths(completions: Any, cohort: Any) -> list[int]:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return [len(c[0]["content"]) + len(k) for c, k in zip(completions, cohort, strict=True)]

    source = CallableReward(lengths)
    assert source([group("q", "a", "bcd")]) == [[4.0, 6.0]]

    async def inside_a_loop() -> Rewards:
        return source([group("q", "a", "bcd")])

    assert asyncio.run(inside_a_loop()) == [[4.0, 6.0]]
    assert loops[0] is loops[1]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0], "the reward function it returned 1 values; expected a list with one number or None for each of 2"),
        (None, "returned None; expected a list"),
        ([1.0, "0.5"], "returned a list with '0.5'; expected"),
        ([1.0, [2.0]], r"returned a list with \[2.0\]; expected"),
    ],
)
def test_what_is_no_list_of_rewards_is_refused(returned: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CallableReward(lambda **_: returned, "it")([group("q", "a", "b")])


def test_a_function_that_fails_or_takes_something_else_is_named() -> None:
    def needs(solution: Any) -> list[float]:
        return [1.0 for _ in solution]

    def breaks(completions: Any) -> list[float]:
        return [1 / 0 for _ in completions]

    groups = [group("q", "a", "b")]
    with pytest.raises(UsageError, match="reward function needs: missing a required argument: 'solution'; it can take"):
        CallableReward(needs)(groups)
    assert CallableReward(needs)([group("q", "a", "b", metadata={"solution": 1})]) == [[1.0, 1.0]]
    with pytest.raises(
        PreceptorError, match=r"breaks failed: ZeroDivisionError: division by zero \(.*test_rewards\.py:\d+"
    ):
        CallableReward(breaks)(groups)
    with pytest.raises(PreceptorError, match="it has no number for any of a step's 2 responses"):
        CallableReward(lambda **_: [None, math.inf], "it")(groups)
    with pytest.raises(UsageError, match='the key "prompts"'):
        CallableReward(lambda **_: [1, 2], "it")([group("q", "a", "b", metadata={"prompts": 1})])


def test_functions_are_loaded_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "def longer(completions, **_):\n    return [len(c[0]['content']) for c in completions]\nnumber = 3\n"
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "rewards.py").write_text(code)
    (tmp_path / "broken.py").write_text("import no_such_library\n")
    (tmp_path / "script.py").write_text("raise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mine.py:longer", f"{tmp_path}/mine.py:longer", "my_package.rewards:longer"):
        assert CallableReward(load_reward_function(name))([group("q", "a", "bc")]) == [[1.0, 2.0]]
    for name, message in (
        ("mine.py", 'the reward function "mine.py": expected package.module:function, or path/file.py:function'),
        ("none.py:f", "there is no file .*none.py"),
        ("mine.py:longr", 'mine.py has no "longr"; did you mean "longer"?'),
        ("mine.py:number", "expected a function, number is a int"),
        ("no_such_package.rewards:f", "no_such_package.rewards cannot be imported: ModuleNotFoundError.*by its path"),
        ("broken.py:f", "broken.py cannot be imported: ModuleNotFoundError: No module named 'no_such_library'$"),
        ("script.py:f", "script.py cannot be imported: SystemExit: 1"),
    ):
        with pytest.raises(UsageError, match=message.replace("?", r"\?")):
            load_reward_function(name)


# Sums and post-processing.


def constant(rewards: Rewards) -> RewardSource:
    """A source that gives these, whatever it is asked."""
    return lambda groups_P: rewards


def test_a_weighted_sum_has_a_number_where_every_part_has() -> None:
    one, other = constant([[1.0, None, 2.0]]), constant([[10.0, 1.0, math.nan]])
    groups = [group("q", "a", "b", "c")]
    assert WeightedReward([(one, 2.0), (other, -0.1)])(groups) == [[pytest.approx(1.0), None, None]]
    with pytest.raises(PreceptorError, match="a reward from all 2 sources"):
        WeightedReward([(constant([[1.0, None]]), 1.0), (constant([[None, 1.0]]), 1.0)])([group("q", "a", "b")])


def test_clip_then_length_then_whitening() -> None:
    """Rewards 9, -9, 1 are clipped to 2, -2, 1; 2, 3 and 4 tokens at 0.5 leave 1, -3.5, -1, with the mean -7/6."""
    groups = [group("q", "a", "b b"), group("r", "c c c", "d")]
    source = constant([[9.0, -9.0], [1.0, None]])
    plain = PostProcessed(source, RewardProcessing(clip=2.0, length_penalty=0.5))(groups)
    assert plain == [[1.0, -3.5], [-1.0, None]]
    [[first, second], [third, nothing]] = PostProcessed(
        source, RewardProcessing(clip=2.0, length_penalty=0.5, whiten=True)
    )(groups)
    mean = -3.5 / 3
    deviation = math.sqrt(((1 - mean) ** 2 + (-3.5 - mean) ** 2 + (-1 - mean) ** 2) / 3)
    assert [first, second, third] == pytest.approx([(r - mean) / deviation for r in (1.0, -3.5, -1.0)])
    assert nothing is None


def test_whitening_nothing_gives_zeros_and_what_is_no_number_abstains() -> None:
    assert whitened([[0.1, 0.1], [0.1 + 1e-12, None]]) == [[0.0, 0.0], [0.0, None]]
    assert whitened([[3.0, None]]) == [[0.0, None]]
    assert whitened([[None]]) == [[None]]
    source = constant([[math.nan, 1.0, math.inf, 3.0]])
    groups = [group("q", "a", "b", "c", "d")]
    assert PostProcessed(source, RewardProcessing(whiten=True))(groups) == [[None, -1.0, None, 1.0]]


@pytest.mark.parametrize(
    ("text", "spaces", "both"),
    [
        ("A. B. ", "A. B.", "A. B"),
        ("Done . . .\n", "Done . . .", "Done"),
        (" ...", " ...", ""),
        ("\u00a0\n", "", ""),
        ("v1.0!", "v1.0!", "v1.0!"),
    ],
)
def test_what_is_stripped_is_at_the_end(text: str, spaces: str, both: str) -> None:
    assert stripped(text, "none") == text
    assert stripped(text, "spaces") == spaces
    assert stripped(text, "periods_and_spaces") == both


def test_the_source_sees_stripped_texts_and_empty_ones_abstain() -> None:
    seen: list[list[tuple[str, tuple[int, ...]]]] = []

    def lengths(groups_P: Sequence[ResponseGroup]) -> Rewards:
        seen.extend([(r.text, ids) for r, ids in zip(g.responses, g.tokens.responses, strict=True)] for g in groups_P)
        return [[float(len(response.text)) for response in g.responses] for g in groups_P]

    groups = [group("q", "yes. .", " . .", "no"), group("r", "...", " ")]
    settings = RewardProcessing(strip="periods_and_spaces", length_penalty=1.0)
    assert PostProcessed(lengths, settings)(groups) == [[3.0 - 3, None, 2.0 - 2], [None, None]]
    assert seen == [[("yes", (0, 1, 2)), ("no", (0, 1))]]
    assert groups[0].responses[0].text == "yes. ."
    with pytest.raises(PreceptorError, match="nothing is left of any response"):
        PostProcessed(lengths, settings)(groups[1:])
    assert PostProcessed(lengths, RewardProcessing())([group("q", "", "a ")]) == [[0.0, 2.0]]


def test_stripping_before_a_comparison_makes_texts_the_same() -> None:
    model = ScriptedModel("s", by_utility)
    settings = RewardProcessing(strip="periods_and_spaces")
    source = PostProcessed(PairwiseReward(judge(model), "log_odds"), settings)
    [[*three, empty]] = source([group("q", "good.", "good", "poor . ", ".")])
    assert three == pytest.approx([1.25, 1.25, -1.25])
    assert empty is None
    assert len(model.asked) == 2


def test_processing_is_told_in_words() -> None:
    everything = RewardProcessing(strip="periods_and_spaces", clip=5.0, length_penalty=0.01, whiten=True)
    assert PostProcessed(constant([]), everything).describe() == (
        "judged without trailing periods and whitespace, clipped to ±5, less 0.01 for each token, "
        "whitened over each step"
    )
    assert RewardProcessing().describe() == "as their source gives them"
    for wrong in ({"clip": 0.0}, {"length_penalty": -1.0}, {"strip": "all"}, {"clip": math.inf}):
        with pytest.raises(ValidationError):
            RewardProcessing.model_validate(wrong)


def test_a_judge_that_fails_on_everything_ends_the_step_and_on_something_abstains() -> None:
    def positive(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        broken = "broken" in text_of(request)
        return JudgeFailure(reason="refused", detail="no") if broken else gives(0.75, 0.25)

    source = JudgeReward(
        ScoreJudge(ScriptedModel("s", positive), load_constitution("warm_tone"), fresh_ledger()), "expectation"
    )
    assert source([group("q", "a", "broken"), group("r", "broken", "broken")]) == [[0.5, None], [None, None]]
    with pytest.raises(PreceptorError, match=r"failed on all 2 responses of a step: 2 times refused \(no\)"):
        source([group("r", "broken", "broken")])
