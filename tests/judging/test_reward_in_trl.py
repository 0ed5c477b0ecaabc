"""TRL's trainers take a judge as a reward function: one step with each, judged by the scripted model."""

from pathlib import Path
from typing import Any

import datasets
import pytest
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from preceptor.judging.judge import Judge
from trl_small import trl_settings

PROMPTS = ["Say ant", "Say bee", "Say cow", "Say dog"]
CONVERSATIONS = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
TRAINERS: list[tuple[Any, Any]] = [(GRPOTrainer, GRPOConfig), (RLOOTrainer, RLOOConfig)]


@pytest.mark.parametrize(("trainer", "config"), TRAINERS)
@pytest.mark.parametrize("prompts", [PROMPTS, CONVERSATIONS], ids=["plain", "conversational"])
def test_one_step(trainer: Any, config: Any, prompts: list[Any], tmp_path: Path, tiny_folder: Path) -> None:
    judge = Judge("scripted:random", constitution="warm_tone")
    settings = trl_settings(config, tmp_path, steps=1)
    rows = datasets.Dataset.from_dict({"prompt": prompts, "cohort": ["all"] * len(prompts)})
    training = trainer(model=str(tiny_folder), reward_funcs=[judge.reward], args=settings, train_dataset=rows)
    training.train()
    [logged] = [entry for entry in training.state.log_history if "reward" in entry]
    assert logged["rewards/warm_tone_by_random/mean"] == pytest.approx(logged["reward"])
    assert logged["reward"] != 0.0
    assert judge.calls > 0


def test_datasets_give_the_judge_to_their_workers() -> None:
    judge = Judge("scripted:random", constitution="warm_tone")

    def scored(batch: dict[str, list[str]]) -> dict[str, list[float | None]]:
        return {"reward": judge.reward(batch["prompt"], batch["completion"])}

    rows = datasets.Dataset.from_dict({"prompt": PROMPTS, "completion": ["a", "b", "c", "d"]})
    rewards = rows.map(scored, batched=True, num_proc=2, load_from_cache_file=False)["reward"]
    assert list(rewards) == judge.reward(PROMPTS, ["a", "b", "c", "d"])
