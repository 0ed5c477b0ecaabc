"""Trains the tiny model in as many processes as there are; started by test_processes.py. Not a test by itself."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from safetensors.torch import save_file

from conftest import make_model, prompt
from preceptor.core.errors import PreceptorError
from preceptor.environments.limits import Limits
from preceptor.environments.loading import load_environment
from preceptor.environments.pool import EnvironmentPool
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.loop import train
from preceptor.training.rl.rewards import RewardSource, TurnScores
from preceptor.training.rl.rewards.combined import Rewarded
from preceptor.training.rl.rewards.turns import TurnScoresPGK
from preceptor.training.rl.settings import RLSettings, needs_values
from preceptor.training.rl.turn_settings import TurnSettings
from preceptor.training.rl.turns import TurnSampler
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.tuning import TuningSettings
from turn_small import ENVIRONMENT, NumberFormat, talkative

CASES: dict[str, dict[str, Any]] = {
    "rloo": {"algorithm": "rloo", "prompts_per_step": 4},
    "odd": {"algorithm": "rloo", "prompts_per_step": 3, "gradient_accumulation_steps": 2},
    "single": {"algorithm": "grpo", "prompts_per_step": 1, "kl_in": "loss"},
    "ppo": {"algorithm": "ppo", "prompts_per_step": 3, "epochs_per_batch": 2, "minibatches": 2},
    "resampled": {"algorithm": "rloo", "prompts_per_step": 3, "group_size": 2, "dynamic_sampling": 2},
    "turns": {
        "algorithm": "grpo", "prompts_per_step": 3, "max_new_tokens": 120, "dynamic_sampling": 1, "learning_rate": 1e-4,
    },
}  # fmt: skip


def vowels(groups_P: Sequence[ResponseGroup]) -> list[list[float | None]]:
    """Deterministic, and now and then missing."""
    sums = [[sum(ids) for ids in group.tokens.responses] for group in groups_P]
    return [[None if total % 6 == 0 else total % 7 / 3.0 for total in row] for row in sums]


class VowelsByTurn:
    """The same, and a score of each turn."""

    def __call__(self, groups_P: Sequence[ResponseGroup]) -> list[list[float | None]]:
        return vowels(groups_P)

    def with_turns(self, groups_P: Sequence[ResponseGroup]) -> Rewarded:
        scores: TurnScoresPGK = [[[float(n) for n in turns] for turns in g.tokens.turn_lengths] for g in groups_P]
        return Rewarded(vowels(groups_P), turns={"steps": TurnScores(scores, 0.5)})


def run(root: Path, name: str, rewards: RewardSource | None = vowels) -> Policy:
    """Three steps of a case."""
    known: dict[str, Any] = {"steps": 3, "group_size": 3, "max_new_tokens": 5, "learning_rate": 1e-3}
    settings = RLSettings(**(known | CASES[name]))
    processes = Processes()
    if name == "turns":
        return _in_turns(root / name, settings, processes)
    policy = Policy(make_model(), TuningSettings(rank=4), seed=0, values=needs_values(settings))
    train(
        policy, Updater(policy, make_algorithm(settings), settings, processes),
        rewards if processes.is_main else None, [prompt(text) for text in ("a", "bb", "ccc", "dddd", "eeeee")],
        settings, TrainingContext(Checkpointing(RunFiles(root / name), 2, lambda step: True), 0, processes),
        on_step=lambda step, facts: None,
    )  # fmt: skip
    return policy


def _in_turns(folder: Path, settings: RLSettings, processes: Processes) -> Policy:
    """The same with episodes of several turns: each process has its own environments."""
    policy = Policy(talkative(), TuningSettings(rank=4), seed=0)
    with EnvironmentPool(load_environment(ENVIRONMENT), Limits(seconds=60)) as pool:
        train(
            policy, Updater(policy, make_algorithm(settings), settings, processes),
            VowelsByTurn() if processes.is_main else None, [prompt(text) for text in ("a", "bb", "ccc", "dddd")],
            settings, TrainingContext(Checkpointing(RunFiles(folder), 2, lambda step: True), 0, processes),
            on_step=lambda step, facts: None,
            sampler=TurnSampler(policy, pool, TurnSettings(max_turns=3), NumberFormat(policy.base.tokenizer)),
        )  # fmt: skip
    return policy


class _Stubborn(Exception):
    """Cannot be sent to another process."""

    def __init__(self) -> None:
        super().__init__("it cannot be pickled")
        self.lock = Lock()


def _raise(error: BaseException) -> None:
    raise error


def _main(root: Path) -> None:
    processes = Processes()
    heard = [f"{processes.count} processes", str(processes.part(range(5))), str(processes.gather([processes.index]))]
    for name in CASES:
        policy = run(root, name)
        save_file(policy.weights(), root / f"{name}-{processes.index}.safetensors")
    heard.append(str(processes.on_main(os.getpid) == os.getpid()))
    for error in (_Stubborn(), KeyboardInterrupt()):
        try:
            processes.on_main(lambda error=error: _raise(error))
        except BaseException as told:
            heard.append(f"{type(told).__name__}: {told}")
    try:
        run(root / "failing", "rloo", lambda groups_P: _raise(PreceptorError("the judge went home")))  # type: ignore
    except PreceptorError as told:
        heard.append(f"{type(told).__name__}: {told}")
        (root / f"heard-{processes.index}.txt").write_text("\n".join(heard))
        raise


if __name__ == "__main__":
    torch.set_num_threads(1)
    _main(Path(sys.argv[1]))
