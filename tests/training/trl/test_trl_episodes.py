"""Episodes of several turns on TRL's GRPO: a step computes what a step of the native engine computes on the same
episodes, and a training that stops continues as if it had not.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from conftest import prompt
from preceptor.environments.limits import Limits
from preceptor.environments.loading import load_environment
from preceptor.environments.pool import EnvironmentPool
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.rewards import Rewards
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.turn_settings import TurnSettings
from preceptor.training.rl.turns import TurnSampler
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings
from turn_small import ENVIRONMENT, NumberFormat, talkative

PROMPTS = [prompt(text) for text in ("a", "bb", "ccc")]
LORA = TuningSettings(rank=4)
SETTINGS = RLSettings(
    algorithm="grpo", kl_in="loss", kl_coefficient=0.3, steps=2, prompts_per_step=2, group_size=3, max_new_tokens=150,
    learning_rate=1e-2,
)  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Iterator[EnvironmentPool]:
    with EnvironmentPool(load_environment(ENVIRONMENT), Limits(seconds=60)) as opened:
        yield opened


class Recorded:
    """The environment's rewards, with the turns counted; keeps the groups."""

    def __init__(self) -> None:
        self.groups: list[list[ResponseGroup]] = []

    def __call__(self, groups_P: Sequence[ResponseGroup]) -> Rewards:
        self.groups.append(list(groups_P))
        return [[None if e.result.reward is None else e.result.reward + e.turns for e in g.episodes] for g in groups_P]


def on_trl(
    root: Path, pool: EnvironmentPool, source: Recorded, stop_at: int | None = None
) -> tuple[Policy, list[UpdateFacts]]:
    pytest.importorskip("trl")
    from preceptor.training.trl.reinforcement import train_on_trl

    policy, facts_of_steps = Policy(talkative(), LORA, seed=0), list[UpdateFacts]()

    def on_step(step: int, facts: UpdateFacts) -> None:
        facts_of_steps.append(facts)
        if step == stop_at:
            raise KeyboardInterrupt

    turns = TurnSettings(max_turns=3, max_new_tokens=20)
    train_on_trl(
        policy, source, PROMPTS, SETTINGS, EngineSettings(name="trl"), LORA,
        TrainingContext(Checkpointing(RunFiles(root), 1, lambda step: True), 0, Processes()),
        on_step=on_step, sampler=TurnSampler(policy, pool, turns, NumberFormat(policy.base.tokenizer)),
    )  # fmt: skip
    return policy, facts_of_steps


def flat(policy: Policy) -> Tensor:
    return torch.cat([weight.detach().flatten().double() for weight in policy.weights().values()])


def test_steps_are_those_of_the_native_engine_and_can_be_resumed(tmp_path: Path, pool: EnvironmentPool) -> None:
    source = Recorded()
    policy, facts = on_trl(tmp_path / "whole", pool, source)
    native = Policy(talkative(), LORA, seed=0)
    begun = flat(native)
    updater = Updater(native, make_algorithm(SETTINGS), SETTINGS, Processes())
    for step, (groups, of_trl) in enumerate(zip(source.groups, facts, strict=True), start=1):
        assert [len(group.responses) for group in groups] == [3, 3]
        assert any(len(lengths) > 1 for group in groups for lengths in group.tokens.turn_lengths)
        assert max(n for group in groups for lengths in group.tokens.turn_lengths for n in lengths) <= 20
        expected = updater.update(groups, Recorded()(groups)).numbers()
        native.step = step
        found = of_trl.numbers()
        assert 1 <= found["episodes/turns"] <= 3  # type: ignore[operator]
        for name in ("reward", "kl", "tokens", "finished", "abstained", "loss", "grad_norm", "flat_groups"):
            assert found[name] == pytest.approx(expected[name], rel=2e-3, abs=2e-4), name
    moved = float((flat(native) - begun).norm())
    assert float((flat(policy) - flat(native)).norm()) < 1e-3 * moved

    with pytest.raises(KeyboardInterrupt):
        on_trl(tmp_path / "cut", pool, Recorded(), stop_at=1)
    resumed, _ = on_trl(tmp_path / "cut", pool, Recorded())
    torch.testing.assert_close(flat(resumed), flat(policy), atol=1e-6, rtol=1e-5)
