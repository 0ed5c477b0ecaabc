"""Policies that think: what is sampled, what is judged, and what an unfinished thought gets."""

from collections.abc import Sequence
from typing import Any

import pytest

from conftest import make_model, prompt
from preceptor.core.types import Prompt, Response, Rollout
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.response_format import ResponseFormat
from preceptor.training.rl.facts import thought_facts
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.rewards import AgainstReference, NoRewardsError, PostProcessed, Rewards
from preceptor.training.thinking_settings import PolicyThinking
from preceptor.training.tuning import TuningSettings
from thinkers import END, thinking_model

LORA = TuningSettings(rank=2)
ASKED = Prompt.model_validate({**prompt("Q").model_dump(), "reference": "A"})


def policy(thinking: PolicyThinking | None) -> Policy:
    return Policy(thinking_model(), LORA, seed=0, thinking=thinking)


def said(text: str, thought: str | None = None, *, tokens: int = 5, thought_tokens: int = 0) -> Rollout:
    """A response; one that begins with `...` is an unfinished thought."""
    if text.startswith("..."):
        return Rollout(
            prompt_id="id-Q", text="", thought=text, unfinished_thought=True, tokens=tokens, thought_tokens=tokens
        )
    return Rollout(prompt_id="id-Q", text=text, thought=thought, tokens=tokens, thought_tokens=thought_tokens)


def group(*responses: Rollout) -> ResponseGroup:
    return ResponseGroup(prompt("Q"), responses, TokenGroup((1,), tuple((2,) * r.tokens for r in responses)))


class Lengths:
    """Rewards a response by the length of its text, and keeps what it saw."""

    def __init__(self) -> None:
        self.saw: list[str] = []

    def __call__(self, groups_P: Sequence[ResponseGroup]) -> Rewards:
        assert all(len(each.responses) == len(each.tokens.responses) for each in groups_P)
        self.saw += [response.text for each in groups_P for response in each.responses]
        return [[float(len(response.text)) for response in each.responses] for each in groups_P]


def rewards_of(groups: Sequence[ResponseGroup], processing: RewardProcessing, **thinking: Any) -> tuple[Rewards, Any]:
    source = Lengths()
    return PostProcessed(source, processing, PolicyThinking(**thinking))(groups), source.saw


def test_every_sampled_token_is_learned_and_each_part_has_its_limit() -> None:
    thinker = policy(PolicyThinking(tokens=9))
    [sampled] = thinker.sample([ASKED], 24, 4, 1.0, [1])
    assert sampled.tokens.learned is None
    ended = [r for r in sampled.responses if not r.unfinished_thought]
    assert 0 < len(ended) < 24
    [end] = thinker.encode_answer(END, finished=False)
    for response, ids in zip(sampled.responses, sampled.tokens.responses, strict=True):
        assert response.tokens == len(ids)
        if response.unfinished_thought:
            assert end not in ids
            assert response.thought_tokens == len(ids)
            assert len(ids) == 9 or response.finished
        else:
            assert ids.index(end) + 1 == response.thought_tokens <= 9
            assert response.answer_tokens == 4 or response.finished
            assert thinker.base.tokenizer.decode(list(ids)).startswith(f"{response.thought}{END}")


def test_a_policy_that_does_not_think_is_as_before() -> None:
    plain, off = policy(None), policy(PolicyThinking(on=False))
    [group_] = plain.sample([ASKED], 4, 6, 1.0, [1])
    assert {(r.thought, r.thought_tokens, r.unfinished_thought) for r in group_.responses} == {(None, 0, False)}
    assert "thought" not in str(group_.responses[0].model_dump())
    tokenizer = plain.base.tokenizer
    assert tokenizer.decode(list(plain.encode(ASKED))).endswith("assistant\n")
    assert tokenizer.decode(list(off.encode(ASKED))).endswith("assistant\n" + END)  # the template's own switch
    assert {r.thought for r in off.sample([ASKED], 2, 4, 1.0, [1])[0].responses} == {None}


def test_reference_answers_are_read_without_a_thought() -> None:
    thinker, off = policy(PolicyThinking()), policy(PolicyThinking(on=False))
    assert thinker.encode(ASKED) != thinker.format.encode_for_answer(ASKED) == off.encode(ASKED)
    assert thinker.answer_log_likelihoods([ASKED]) == off.answer_log_likelihoods([ASKED])


def test_models_without_a_place_for_thoughts_think_between_plain_tags() -> None:
    form = ResponseFormat(make_model().tokenizer, PolicyThinking())
    assert make_model().tokenizer.decode(list(form.encode(ASKED))).endswith("assistant\n<think>\n")
    assert make_model().tokenizer.decode(list(form.encode_for_answer(ASKED))).endswith("assistant\n")


GROUPS = [
    group(said("four", "2 + 2", tokens=9, thought_tokens=6), said("...")),
    group(said("...", tokens=7), said("five.", tokens=3)),
]


def test_an_unfinished_thought_is_not_judged_and_abstains() -> None:
    assert rewards_of(GROUPS, RewardProcessing()) == ([[4.0, None], [None, 5.0]], ["four", "five."])


def test_an_unfinished_thought_can_have_a_penalty_which_nothing_changes_but_whitening() -> None:
    processing = RewardProcessing(clip=4.5, length_penalty=1.0, strip="periods_and_spaces")
    found, saw = rewards_of(GROUPS, processing, unfinished_reward=-7.0)
    # The answers have 3 tokens each; "five" has lost its period.
    assert found == [[4.0 - 3, -7.0], [-7.0, 4.0 - 3]]
    assert saw == ["four", "five"]
    whitened, _ = rewards_of(GROUPS[:1], RewardProcessing(whiten=True), unfinished_reward=2.0)
    assert whitened == [[1.0, -1.0]]


def test_a_judge_may_see_the_thought() -> None:
    _, saw = rewards_of(GROUPS, RewardProcessing(), judge_sees_thought=True)
    assert saw == ["<think>\n2 + 2\n</think>\n\nfour", "five."]


def test_a_step_without_an_answer_has_no_reward_unless_thoughts_have() -> None:
    nothing = [group(said("..."), said("..."))]
    with pytest.raises(NoRewardsError, match=r"2 thoughts.*thinking\.tokens"):
        rewards_of(nothing, RewardProcessing())
    assert rewards_of(nothing, RewardProcessing(), unfinished_reward=-1.0) == ([[-1.0, -1.0]], [])


def test_nobody_wins_against_an_opponent_without_an_answer() -> None:
    unfinished = Response(prompt_id="id-Q", text="", thought="hm", unfinished_thought=True)

    class Nobody:
        def compare(self, comparisons: Sequence[Any]) -> Any:
            raise AssertionError("there is nothing to compare")

    judge: Any = Nobody()
    source = AgainstReference(judge, "expectation", lambda groups: [unfinished for _ in groups])
    with pytest.raises(NoRewardsError, match=r"thinking\.tokens"):
        source([group(said("four"), said("five"))])


def test_unfinished_thoughts_and_lengths_are_counted() -> None:
    listed = [response for each in GROUPS for response in each.responses]
    # 9 + 5 + 7 + 3 tokens, of which 6 + 5 + 7 + 0 are thoughts.
    assert thought_facts(listed) == {"unfinished": 2.0, "tokens": 4.5, "answer_tokens": 1.5}
    assert thought_facts([said("four")]) == {}


def test_an_unfinished_thought_has_no_answer() -> None:
    with pytest.raises(ValueError, match="no answer"):
        Response(prompt_id="p", text="four", thought="hm", unfinished_thought=True)
    with pytest.raises(ValueError, match="has a thought"):
        Response(prompt_id="p", text="", unfinished_thought=True)
    thoughtful, plain = Response(prompt_id="p", text="4", thought="hm"), Response(prompt_id="p", text="4")
    assert thoughtful.content_hash == plain.content_hash
    assert plain.model_dump().keys() == {"prompt_id", "text", "policy", "trajectory", "finished"}
