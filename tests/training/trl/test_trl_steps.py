"""A step on TRL's trainers computes what a step of the native engine computes on the same responses; a training that
stops anywhere continues as if it had not.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import make_model, prompt
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.store.files import read_rows
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.loop import prompts_of_step
from preceptor.training.rl.rewards import NoRewardsError, Rewards
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.trl.reinforcement import train_on_trl
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings

PROMPTS = [prompt(text) for text in ("a", "bb", "ccc", "dddd", "eeeee")]
SETTINGS = RLSettings(
    steps=3, prompts_per_step=2, group_size=4, max_new_tokens=6, learning_rate=1e-2, schedule="linear", warmup_steps=1,
    kl_coefficient=0.3, max_grad_norm=0.5,
)  # fmt: skip
LORA = TuningSettings(rank=4)
GRPO = {"algorithm": "grpo", "kl_in": "loss"}
ONLINE_DPO = {"algorithm": "online_dpo", "group_size": 2, "prompts_per_step": 4}


class Recorded:
    """Rewards by the tokens alone, about one in four missing; keeps the groups that it was shown."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.groups: list[list[ResponseGroup]] = []
        self.rewards: list[Rewards] = []
        self._fail_at = fail_at

    def __call__(self, groups_P: Sequence[ResponseGroup]) -> Rewards:
        if len(self.groups) + 1 == self._fail_at:
            raise NoRewardsError("the judge failed on all responses of a step")
        self.groups.append(list(groups_P))
        sums = [[sum(ids) for ids in group.tokens.responses] for group in groups_P]
        self.rewards.append([[None if total % 4 == 0 else total % 7 / 3.0 for total in row] for row in sums])
        return self.rewards[-1]


def new_policy(tuning: TuningSettings) -> Policy:
    """The tiny model hardly ever ends by itself: here many tokens end a response."""
    model = make_model(dtype=torch.bfloat16 if tuning.precision == "bf16" else torch.float32)
    model.model.generation_config.eos_token_id = [model.tokenizer.eos_token_id, *range(40, 100)]
    return Policy(model, tuning, seed=0)


def on_trl(
    root: Path,
    settings: RLSettings = SETTINGS,
    tuning: TuningSettings = LORA,
    source: Any = None,
    goes_on: Callable[[int], bool] = lambda step: True,
    stop_at: int | None = None,
    **engine: Any,
) -> tuple[Policy, list[UpdateFacts]]:
    policy, facts_of_steps = new_policy(tuning), []

    def on_step(step: int, facts: UpdateFacts) -> None:
        facts_of_steps.append(facts)
        if step == stop_at:
            raise KeyboardInterrupt

    train_on_trl(
        policy, source or Recorded(), PROMPTS, settings, EngineSettings(name="trl", **engine), tuning,
        TrainingContext(Checkpointing(RunFiles(root), 2, goes_on), 0, Processes()), on_step=on_step,
    )  # fmt: skip
    return policy, facts_of_steps


def flat(policy: Policy) -> Tensor:
    return torch.cat([weight.detach().flatten().double() for weight in policy.weights().values()])


@pytest.mark.parametrize(
    ("more", "tuning"),
    [
        ({}, {"rank": 4}),
        ({"gradient_accumulation_steps": 2}, {"rank": 4, "gradient_checkpointing": True}),
        ({"kl_coefficient": 0.0}, {"rank": 4}),
        ({}, {"method": "full"}),
        (GRPO, {"rank": 4}),
        (GRPO | {"length_unbiased": True, "scale_advantages": False, "gradient_accumulation_steps": 2}, {"rank": 4}),
        (GRPO, {"method": "full"}),
        (GRPO | {"loss": "dapo", "entropy_coefficient": 0.3, "gradient_accumulation_steps": 2}, {"rank": 4}),
        (GRPO | {"loss": "cispo", "clip_range_high": 0.3, "epochs_per_batch": 2}, {"rank": 4}),
        (GRPO | {"loss": "gspo", "kl_coefficient": 0.0, "clip_range": 0.02, "epochs_per_batch": 2}, {"rank": 4}),
        ({"optimizer": "adafactor", "epochs_per_batch": 2}, {"rank": 4}),
        (ONLINE_DPO | {"gradient_accumulation_steps": 2}, {"rank": 4}),
        (ONLINE_DPO, {"method": "full"}),
    ],
    ids=str,
)
def test_steps_are_those_of_the_native_engine(tmp_path: Path, more: dict[str, Any], tuning: dict[str, Any]) -> None:
    settings, tuned = SETTINGS.model_copy(update=more), TuningSettings(**tuning)
    source = Recorded()
    policy, facts = on_trl(tmp_path, settings, tuned, source)
    native = new_policy(tuned)
    begun = flat(native)
    updater = Updater(native, make_algorithm(settings), settings, Processes())
    lengths: set[int] = set()
    for step, (groups, rewards, of_trl) in enumerate(zip(source.groups, source.rewards, facts, strict=True), start=1):
        assert [group.prompt for group in groups] == prompts_of_step(PROMPTS, step, settings.prompts_per_step, seed=0)
        expected = updater.update(groups, rewards)
        native.step = step
        for name, value in expected.numbers().items():
            if name == "objective/entropy":  # TRL's is the mean of the parts' means
                assert of_trl.numbers()[name] == pytest.approx(value, rel=0.1)
            elif name not in ("equal_groups", "short_groups"):  # the native loop counts them elsewhere
                assert of_trl.numbers()[name] == pytest.approx(value, abs=1e-4, rel=1e-4), name
        lengths |= {response.tokens for group in groups for response in group.responses}
    assert len(lengths) > 2
    moved, moved_natively = flat(policy) - begun, flat(native) - begun
    assert float(moved_natively.norm()) > 0.01
    assert float((moved - moved_natively).norm()) < 1e-3 * float(moved_natively.norm())


def test_in_bfloat16_the_ratio_of_the_first_update_is_1(tmp_path: Path) -> None:
    """Then the loss is minus the mean of the advantages, which is 0."""
    tuning = TuningSettings(rank=4, precision="bf16")
    _, [facts] = on_trl(tmp_path, SETTINGS.model_copy(update={"steps": 1}), tuning)
    assert facts.grad_norm > 1.0
    assert abs(facts.loss) < 1e-6


def test_responses_without_a_reward_are_not_learnt_from(tmp_path: Path) -> None:
    def one_of_each(groups_P: Sequence[ResponseGroup]) -> Rewards:
        return [[5.0, None, None, None] for _ in groups_P]

    settings = SETTINGS.model_copy(update={"kl_coefficient": 0.0})
    policy, facts = on_trl(tmp_path, settings, source=one_of_each)
    assert [(f.abstained, f.short_groups, f.flat_groups, f.reward) for f in facts] == [(6, 2, 2, 5.0)] * 3
    assert torch.equal(flat(policy), flat(new_policy(LORA)))


def test_equal_rewards_teach_nothing_in_spite_of_rounding(tmp_path: Path) -> None:
    def alike(groups_P: Sequence[ResponseGroup]) -> Rewards:
        return [[0.3] * 6 for _ in groups_P]  # the mean of six in single precision is not 0.3

    settings = SETTINGS.model_copy(update=GRPO | {"group_size": 6, "steps": 1})
    _, [facts] = on_trl(tmp_path, settings, source=alike)
    assert (facts.flat_groups, facts.equal_groups, facts.abstained) == (2, 2, 0)


@pytest.mark.parametrize("more", [{"epochs_per_batch": 2, "minibatches": 2}, GRPO], ids=str)
def test_interrupted_between_steps_equals_uninterrupted(tmp_path: Path, more: dict[str, Any]) -> None:
    settings = SETTINGS.model_copy(update=more | {"steps": 5})
    whole, _ = on_trl(tmp_path / "whole", settings)
    for stop in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            on_trl(tmp_path / "cut", settings, stop_at=stop)
    measured: list[int] = []
    resumed, facts = on_trl(tmp_path / "cut", settings, goes_on=lambda step: bool([measured.append(step)]))
    assert len(facts) == 3  # step 3 is repeated: the state is that of the checkpoint at step 2
    assert measured == [2, 4, 5]
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "cut/metrics.jsonl").read_bytes()
    assert torch.equal(flat(whole), flat(resumed))
    steps = ["step-000000", "step-000002", "step-000004", "step-000005"]
    for run in ("whole", "cut"):
        assert [folder.name for folder in sorted((tmp_path / run / "checkpoints").iterdir())] == steps
    updates = settings.epochs_per_batch * settings.minibatches
    assert [path.name for path in (tmp_path / "cut/engine").iterdir()] == [f"checkpoint-{5 * updates}"]
    assert [row["step"] for row in read_rows(tmp_path / "cut/timings.jsonl")] == [1, 2, 3, 4, 5]
    again, facts = on_trl(tmp_path / "cut", settings)
    assert facts == []
    assert torch.equal(flat(again), flat(whole))


def test_it_stops_where_a_measurement_says_so_and_again_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        policy, _ = on_trl(tmp_path, goes_on=lambda step: step < 2)
        assert policy.step == 2
        assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 2]
    policy, _ = on_trl(tmp_path / "at once", goes_on=lambda step: False)
    assert policy.step == 0


def test_a_judge_that_fails_on_everything_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(NoRewardsError, match="failed on all"):
        on_trl(tmp_path, source=Recorded(fail_at=2))
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1]


def test_what_cannot_be_trained_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"5 training prompts.*asks for 9"):
        on_trl(tmp_path, SETTINGS.model_copy(update={"prompts_per_step": 9}))
    with pytest.raises(UsageError, match=r"TRL refuses these settings.*router_aux_loss_coef"):
        on_trl(tmp_path, trl={"router_aux_loss_coef": 0.1})
    with pytest.raises(PreceptorError, match="lower the learning rate"):
        on_trl(tmp_path / "diverging", SETTINGS.model_copy(update={"learning_rate": 1e30, "max_grad_norm": 1e9}))


@pytest.mark.parametrize(("loss", "level"), [("dapo", "token"), ("luspo", "sequence")])
def test_other_losses_of_trl_move_the_policy(tmp_path: Path, loss: str, level: str) -> None:
    settings = SETTINGS.model_copy(update=GRPO | {"steps": 1})
    engine: dict[str, Any] = {"loss_type": loss, "importance_sampling": level, "trl": {"epsilon_high": 0.28}}
    policy, facts = on_trl(tmp_path, settings, **engine)
    usual, _ = on_trl(tmp_path / "usual", settings)
    assert facts[0].grad_norm > 0
    assert not torch.equal(flat(policy), flat(usual))
