"""Rollouts of several turns against one episode at a time, token by token."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import prompt
from preceptor.core.errors import UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Message, Prompt, ToolCall
from preceptor.environments.limits import Limits
from preceptor.environments.loading import load_environment
from preceptor.environments.pool import EnvironmentPool
from preceptor.store.files import read_rows
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.loop import train
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.turn_settings import TurnSettings
from preceptor.training.rl.turns import TurnSampler
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.tuning import TuningSettings
from tolerance import assert_equal_but_for_rounding
from turn_small import ENDS, ENVIRONMENT, Counting, NumberFormat, talkative

PROMPTS = [prompt(text) for text in ("a", "bb", "ccc")]
SEEDS = [27, 28, 29]
SETTINGS = TurnSettings(max_turns=4, max_new_tokens=20)
MOST, GROUP, TEMPERATURE = 240, 4, 0.9


@pytest.fixture(scope="module")
def pool() -> Iterator[EnvironmentPool]:
    with EnvironmentPool(load_environment(ENVIRONMENT), Limits(seconds=60)) as opened:
        yield opened


@pytest.fixture(scope="module")
def policy() -> Policy:
    made = Policy(talkative(), TuningSettings(rank=4), seed=0)
    torch.manual_seed(1)
    for parameter in made.trainable:
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return made


@pytest.fixture(scope="module")
def groups(policy: Policy, pool: EnvironmentPool) -> list[ResponseGroup]:
    sampler = TurnSampler(policy, pool, SETTINGS, NumberFormat(policy.base.tokenizer))
    return sampler.sample(PROMPTS, GROUP, MOST, TEMPERATURE, SEEDS)


@dataclass
class Plain:
    """An episode as a plain loop plays it."""

    ids: list[int] = field(default_factory=list[int])
    learned: list[bool] = field(default_factory=list[bool])
    log_probs: list[float] = field(default_factory=list[float])
    messages: list[Message] = field(default_factory=list[Message])
    ending: str = ""


@torch.no_grad()
def plain_turn(policy: Policy, episode: Plain, prompt_ids: tuple[int, ...], uniform: Tensor, room: int) -> bool:
    """Samples a turn with a whole forward pass for each token; returns whether it ended by itself."""
    for number in uniform[: min(room, len(uniform))]:
        logits = policy.model(torch.tensor([[*prompt_ids, *episode.ids]])).logits[0, -1]
        log_probs = torch.log_softmax(logits / TEMPERATURE, dim=-1)
        shares = log_probs.exp().cumsum(dim=0)
        token = int(torch.searchsorted(shares, number * shares[-1], right=True))
        episode.ids.append(token)
        episode.learned.append(True)
        episode.log_probs.append(float(log_probs[token]))
        if token in ENDS:
            return True
    return False


def plain(policy: Policy, asked: Prompt, seed: int, place: int, most: int = MOST) -> Plain:
    """One episode by itself: no cache, no batch, and the environment as a plain object."""
    written, environment, episode = NumberFormat(policy.base.tokenizer), Counting(), Plain()
    environment.reset()
    prompt_ids, calls = policy.encode(asked), 0
    for turn in range(SETTINGS.max_turns):
        started = len(episode.ids)
        where = (GROUP, seed) if turn == 0 else (1, derive_seed(derive_seed(seed, "turns", place), turn))
        drawn = torch.rand(where[0], 20, generator=torch.Generator().manual_seed(where[1]))
        finished = plain_turn(policy, episode, prompt_ids, drawn[place if turn == 0 else 0], most - started)
        spoken = written.read(episode.ids[started : len(episode.ids) - finished], calls)
        said, broken = spoken.message, spoken.broken
        episode.messages.append(said)
        if not finished:
            episode.ending = "token_limit"
            return episode
        if not said.tool_calls and not broken:
            episode.ending = "answered"
            return episode
        if turn + 1 == SETTINGS.max_turns:
            episode.ending = "turn_limit"
            return episode
        if any(call.function.arguments == '{"number": 7}' for call in said.tool_calls):
            episode.ending = "environment"
            return episode
        observed = [used(environment, call) for call in said.tool_calls] or [
            Message(role="tool", content=error(broken))
        ]
        calls += len(observed)
        episode.messages += observed
        between = written.between(asked.conversation, observed)
        if len(episode.ids) + len(between) >= most:
            episode.ending = "token_limit"
            return episode
        episode.ids += between
        episode.learned += [False] * len(between)
    raise AssertionError


def used(environment: Counting, call: ToolCall) -> Message:
    try:
        content = str(getattr(environment, call.function.name)(**json.loads(call.function.arguments)))
    except ValueError as raised:
        content = error(str(raised))
    return Message(role="tool", name=call.function.name, tool_call_id=call.id, content=content)


def error(words: str) -> str:
    return str({"error": words})


def test_episodes_equal_a_plain_loop_token_by_token(policy: Policy, groups: list[ResponseGroup]) -> None:
    endings: Counter[str] = Counter()
    for asked, seed, group in zip(PROMPTS, SEEDS, groups, strict=True):
        assert group.tokens.learned is not None
        assert group.tokens.prompt == policy.encode(asked)
        for place, (response, outcome) in enumerate(zip(group.responses, group.episodes, strict=True)):
            expected = plain(policy, asked, seed, place)
            endings[expected.ending] += 1
            assert group.tokens.responses[place] == tuple(expected.ids)
            assert group.tokens.learned[place] == tuple(expected.learned)
            assert (outcome.ending, response.finished) == (expected.ending, expected.ending == "answered")
            assert response.trajectory[: len(expected.messages)] == tuple(expected.messages)
            assert len(response.trajectory) == len(expected.messages) or outcome.ending == "environment"
            alone = replace(group.tokens, responses=(tuple(expected.ids),), learned=(tuple(expected.learned),))
            assert_equal_but_for_rounding(policy.log_probs([alone], TEMPERATURE), torch.tensor(expected.log_probs))
    assert min(endings[e] for e in ("answered", "token_limit", "turn_limit", "environment")) > 0


def test_the_log_probabilities_of_sampling_are_those_of_the_learned_tokens(
    policy: Policy, pool: EnvironmentPool
) -> None:
    keeping = Policy(talkative(), TuningSettings(rank=4), seed=0, sampler_log_probs=True)
    keeping.load_weights(policy.weights(), step=0)
    (group,) = TurnSampler(keeping, pool, SETTINGS, NumberFormat(keeping.base.tokenizer)).sample(
        PROMPTS[:1], GROUP, MOST, TEMPERATURE, SEEDS[:1]
    )
    assert group.tokens.sampler_log_probs is not None
    assert any(not all(mask) for mask in group.tokens.masks)
    said = torch.tensor([x for row in group.tokens.sampler_log_probs for x in row])
    assert_equal_but_for_rounding(said, keeping.log_probs([group.tokens], TEMPERATURE))


def test_a_rollout_says_what_the_policy_wrote(groups: list[ResponseGroup]) -> None:
    for group in groups:
        for response, outcome, lengths in zip(group.responses, group.episodes, group.tokens.turn_lengths, strict=True):
            spoken = [message for message in response.trajectory if message.role == "assistant"]
            assert (response.tokens, outcome.turns) == (sum(lengths), len(lengths))
            assert (len(spoken), response.text) == (outcome.turns, spoken[-1].content)
            assert outcome.tool_errors <= outcome.tool_calls == sum(m.role == "tool" for m in response.trajectory)
            dead = outcome.ending == "environment"
            assert (outcome.result.reward is None) == dead
            assert outcome.result.success is (None if dead else outcome.result.reward == 1.0)


def test_the_same_again_and_in_other_company(
    policy: Policy, pool: EnvironmentPool, groups: list[ResponseGroup]
) -> None:
    sampler = TurnSampler(policy, pool, SETTINGS, NumberFormat(policy.base.tokenizer))
    assert sampler.sample(PROMPTS, GROUP, MOST, TEMPERATURE, SEEDS) == groups
    assert sampler.sample(PROMPTS[1:2], GROUP, MOST, TEMPERATURE, SEEDS[1:2]) == groups[1:2]
    assert sampler.sample([], GROUP, MOST, TEMPERATURE, []) == []


def test_an_episode_ends_where_an_answer_of_a_tool_leaves_no_room(policy: Policy, pool: EnvironmentPool) -> None:
    written = NumberFormat(policy.base.tokenizer)
    (group,) = TurnSampler(policy, pool, SETTINGS, written).sample(PROMPTS[:1], GROUP, 60, TEMPERATURE, SEEDS[:1])
    for place, outcome in enumerate(group.episodes):
        expected = plain(policy, PROMPTS[0], SEEDS[0], place, most=60)
        assert (group.tokens.responses[place], outcome.ending) == (tuple(expected.ids), expected.ending)
        assert len(expected.ids) <= 60
    kept = [group.responses[place].trajectory[-1].role for place, o in enumerate(group.episodes) if o.tool_calls]
    assert "tool" in kept  # what was run is in the trajectory, though the policy never read it


def test_the_window_limits_an_episode(policy: Policy, pool: EnvironmentPool) -> None:
    written = NumberFormat(policy.base.tokenizer)
    long = prompt("a" * (policy.base.context_window - 60))
    sampler = TurnSampler(policy, pool, SETTINGS, written)
    (group,) = sampler.sample([long], GROUP, MOST, TEMPERATURE, [0])
    assert {outcome.ending for outcome in group.episodes} & {"window"}
    room = policy.base.context_window - len(group.tokens.prompt)
    assert max(map(len, group.tokens.responses)) <= room
    with pytest.raises(UsageError, match="window"):
        sampler.sample([prompt("a" * policy.base.context_window)], GROUP, MOST, TEMPERATURE, [0])


def test_what_reset_returns_follows_the_prompt(policy: Policy, pool: EnvironmentPool) -> None:
    asked = PROMPTS[0].model_copy(update={"metadata": {"more": " now", "start": 30}})
    sampler = TurnSampler(policy, pool, TurnSettings(max_turns=1), NumberFormat(policy.base.tokenizer))
    (group,) = sampler.sample([asked], 2, 8, TEMPERATURE, [0])
    assert (group.prompt.id, group.prompt.text) == (asked.id, "a now")
    assert group.tokens.prompt == policy.encode(group.prompt)
    assert [outcome.result.success for outcome in group.episodes] == [True, True]
    assert not any(outcome.tool_calls for outcome in group.episodes)


def trained(root: Path, pool: EnvironmentPool, stop_at: int | None = None) -> Policy:
    """Three steps whose reward is what the environment says."""
    settings = RLSettings(
        algorithm="grpo", steps=3, prompts_per_step=2, group_size=2, max_new_tokens=120, learning_rate=1e-2
    )
    policy = Policy(talkative(), TuningSettings(rank=4), seed=0)

    def rewards(groups_P: Sequence[ResponseGroup]) -> list[list[float | None]]:
        return [[episode.result.reward for episode in group.episodes] for group in groups_P]

    def on_step(step: int, facts: UpdateFacts) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    train(
        policy, Updater(policy, make_algorithm(settings), settings, Processes()), rewards, PROMPTS, settings,
        TrainingContext(Checkpointing(RunFiles(root), 2, lambda step: True), 0, Processes()), on_step=on_step,
        sampler=TurnSampler(policy, pool, TurnSettings(max_turns=3), NumberFormat(policy.base.tokenizer)),
    )  # fmt: skip
    return policy


def test_an_interrupted_training_equals_an_uninterrupted_one(tmp_path: Path, pool: EnvironmentPool) -> None:
    whole = trained(tmp_path / "whole", pool)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", pool, stop_at=2)
    resumed = trained(tmp_path / "cut", pool)
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "cut/metrics.jsonl").read_bytes()
    assert all(torch.equal(a, b) for a, b in zip(whole.trainable, resumed.trainable, strict=True))
    rows: list[dict[str, Any]] = [*read_rows(tmp_path / "whole/metrics.jsonl")]
    for row in rows:
        assert 1 <= row["episodes"]["turns"] <= 3
        assert row["episodes"]["reward"] == pytest.approx(row["reward"])
