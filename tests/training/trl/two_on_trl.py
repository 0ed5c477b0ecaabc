"""Trains the tiny model on TRL's trainers in as many processes as there are, and keeps what each step rewarded; started
by test_trl_processes.py. Not a test by itself.

With `fsdp2`, accelerate is told that these processes have GPUs, because it divides no model of processes on CPUs.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from safetensors.torch import save_file

from conftest import make_model, prompt
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.rewards import Rewards
from preceptor.training.rl.settings import RLSettings
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.trl.reinforcement import train_on_trl
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings

PROMPTS = [prompt(text) for text in ("a", "bb", "ccc", "dddd", "eeeee")]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rloo": ({"algorithm": "rloo"}, {"rank": 4}),
    "grpo": ({"algorithm": "grpo", "kl_in": "loss"}, {"rank": 4}),
    "full": ({"algorithm": "grpo", "kl_in": "loss"}, {"method": "full"}),
}
EVERY = 2


def settings_of(name: str) -> tuple[RLSettings, TuningSettings]:
    rl: dict[str, Any] = {
        "steps": 3, "prompts_per_step": 2, "group_size": 4, "max_new_tokens": 6, "learning_rate": 1e-2,
        "kl_coefficient": 0.3,
    }  # fmt: skip
    more, tuning = CASES[name]
    return RLSettings(**rl, **more), TuningSettings(**tuning)


def new_policy(tuning: TuningSettings) -> Policy:
    """Many tokens end a response, so processes finish theirs at different times."""
    model = make_model()
    model.model.generation_config.eos_token_id = [model.tokenizer.eos_token_id, *range(40, 100)]
    return Policy(model, tuning, seed=0)


def rewards_of(groups_P: Sequence[ResponseGroup]) -> Rewards:
    """By the tokens alone, about one in four missing."""
    sums = [[sum(ids) for ids in group.tokens.responses] for group in groups_P]
    return [[None if total % 4 == 0 else total % 7 / 3.0 for total in row] for row in sums]


def run(root: Path, name: str, stop_at: int | None = None) -> Policy:
    """The steps of a case, from where its folder stands; those that are repeated are kept once more."""
    settings, tuning = settings_of(name)
    processes, policy = Processes(), new_policy(tuning)
    rewarded = root / f"{name}.jsonl"

    def rewards(groups_P: Sequence[ResponseGroup]) -> Rewards:
        row = [[group.prompt.id, group.tokens.responses] for group in groups_P]
        with rewarded.open("a") as file:
            file.write(json.dumps(row) + "\n")
        return rewards_of(groups_P)

    def goes_on(step: int) -> bool:
        assert policy.step == step
        save_file(policy.weights(), root / f"{name}-{step}.safetensors")
        return step != stop_at

    train_on_trl(
        policy, rewards if processes.is_main else None, PROMPTS, settings, EngineSettings(name="trl"), tuning,
        TrainingContext(Checkpointing(RunFiles(root / name), EVERY, goes_on), 0, processes),
        on_step=lambda step, facts: None,
    )  # fmt: skip
    return policy


def _main(root: Path, names: Sequence[str]) -> None:
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        Processes()
        PartialState().distributed_type = DistributedType.MULTI_GPU
    for name in names:
        run(root, name, stop_at=EVERY)
        run(root, name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    _main(Path(sys.argv[1]), sys.argv[2:])
