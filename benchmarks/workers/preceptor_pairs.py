"""Epochs of preceptor's reward-model training and of its DPO."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.worker import Parts, serve
from benchmarks.workers.training import Facts, timed, use_threads
from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.store.training_pairs import read_training_pairs
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import train_dpo
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, dtype_of
from preceptor.training.processes import Processes
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.reward_model.train import train_reward_model
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.tuning import TuningSettings

SEED = 0


def prepare(settings: dict[str, Any]) -> Callable[[], Facts]:
    """One epoch, from pairs as text and a new model; reading the model's weights is not timed.

    Args:
        settings: `method` (reward or dpo), `pairs` (a file), `training` (settings of the method), `threads`.
    """
    use_threads(settings)
    pairs, _ = read_training_pairs(Path(settings["pairs"]))
    tuning, processes = TuningSettings(), Processes()

    def reward() -> Facts:
        learning = RewardModelSettings.model_validate(settings["training"])
        model = RewardModel.from_language_model("embedded", tuning, SEED, max_length=learning.max_length)
        root, begun = Path(tempfile.mkdtemp()), time.perf_counter()
        trained = train_reward_model(model, pairs, learning, root=root, seed=SEED, processes=processes)
        return {"seconds": time.perf_counter() - begun, "units": trained.pairs}

    def dpo() -> Facts:
        learning, parts = DpoSettings.model_validate(settings["training"]), Parts()
        base = LocalModel(load("embedded", dtype_of(tuning)))
        files, begun = RunFiles(Path(tempfile.mkdtemp())), time.perf_counter()
        policy = Policy(base, tuning, SEED)
        policy.reference_log_probs = timed(parts, "reference", policy.reference_log_probs)
        files.save_step = timed(parts, "saving", files.save_step)
        files.save_checkpoint = timed(parts, "saving", files.save_checkpoint)
        left_out: list[str] = []
        train_dpo(
            policy,
            pairs,
            learning,
            TrainingContext(Checkpointing(files, len(pairs), lambda step: True), SEED, processes),
            on_step=lambda step, steps, facts: None,
            on_note=left_out.append,
        )
        seconds = time.perf_counter() - begun
        spent = {**parts.seconds, "update": seconds - sum(parts.seconds.values())}
        if left_out:
            raise ValueError("; ".join(left_out))
        return {"seconds": seconds, "units": len(pairs), "parts": spent}

    return {"reward": reward, "dpo": dpo}[settings["method"]]


if __name__ == "__main__":
    serve(prepare)
