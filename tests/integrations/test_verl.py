"""verl's loader finds the reward function, and its reward managers and Ray workers call it. Without verl installed, the
function is called as they call it.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from backends.fault_server import FaultServer, Script
from conftest import make_tokenizer
from preceptor import Judge, PreceptorError, UsageError
from preceptor.integrations.verl import compute_score

JUDGE: dict[str, Any] = {"model": "scripted:random", "constitution": "warm_tone"}
PROMPTS = ["Say ant", "Say bee"]
RESPONSES = ["an ant", "a bee"]


def score(**arguments: Any) -> dict[str, float]:
    row: dict[str, Any] = {"data_source": "insects", "solution_str": "an ant", "ground_truth": None, "judge": JUDGE}
    return asyncio.run(compute_score(**(row | arguments)))


def rewards() -> list[float | None]:
    return Judge(**JUDGE).reward(PROMPTS, RESPONSES)


def test_the_score_is_the_judges_reward() -> None:
    assert score(extra_info={"question": "Say ant"}) == {"score": rewards()[0], "judge_failed": 0.0}
    conversation = [{"role": "user", "content": "Say ant"}]
    assert score(extra_info={"messages": conversation}, prompt_key="messages")["score"] == rewards()[0]


def test_without_the_prompt_there_is_no_score() -> None:
    with pytest.raises(UsageError, match=r"index.*prompt_key"):
        score(extra_info={"index": 3})


def test_arguments_of_the_judge_are_checked() -> None:
    with pytest.raises(UsageError, match="modle"):
        score(extra_info={"question": "Say ant"}, judge={"modle": "embedded"})


def test_a_failure_stops_the_training_or_is_counted() -> None:
    with FaultServer(Script(faults={"an ant": ["400"] * 20})) as server:
        judge = {"model": f"openai:tiny@{server.url}", "constitution": "warm_tone"}
        with pytest.raises(PreceptorError, match=r"refused.*failure_score"):
            score(extra_info={"question": "Say ant"}, judge=judge)
        given = score(extra_info={"question": "Say ant"}, judge=judge, failure_score=-2)
    assert given == {"score": -2.0, "judge_failed": 1.0}


def verl_config(tokenizer: Path, manager: str = "naive") -> Any:
    """verl's own defaults, with the reward function named as the documentation says."""
    hydra = pytest.importorskip("hydra", reason="verl is not installed")
    verl = pytest.importorskip("verl", reason="verl is not installed")
    with hydra.initialize_config_dir(str(Path(verl.__file__).parent / "trainer" / "config"), version_base=None):
        return hydra.compose(
            "ppo_trainer",
            [
                "reward.num_workers=1",
                f"reward.reward_manager.name={manager}",
                "reward.custom_reward_function.path=pkg://preceptor.integrations.verl",
                "+reward.custom_reward_function.reward_kwargs.judge.model=scripted:random",
                "+reward.custom_reward_function.reward_kwargs.judge.constitution=warm_tone",
                f"actor_rollout_ref.model.path={tokenizer}",
            ],
        )


def verl_batch() -> Any:
    """Two rows as a rollout leaves them: prompts padded on the left, responses on the right."""
    import torch

    numpy, protocol = pytest.importorskip("numpy"), pytest.importorskip("verl.protocol")
    tokenizer: Any = make_tokenizer()
    asked = tokenizer(PROMPTS, padding=True, padding_side="left", return_tensors="pt")
    given = tokenizer(RESPONSES, padding=True, padding_side="right", return_tensors="pt")
    return protocol.DataProto.from_dict(
        tensors={
            "prompts": asked["input_ids"],
            "responses": given["input_ids"],
            "attention_mask": torch.cat([asked["attention_mask"], given["attention_mask"]], dim=1),
        },
        non_tensors={
            "data_source": numpy.array(["insects"] * 2, dtype=object),
            "reward_model": numpy.array([{"ground_truth": ""}] * 2, dtype=object),
            "extra_info": numpy.array([{"question": text} for text in PROMPTS], dtype=object),
        },
    )


@pytest.mark.parametrize("manager", ["naive", "dapo"])
def test_reward_managers_of_verl_call_it(manager: str, tiny_folder: Path) -> None:
    config, batch = verl_config(tiny_folder, manager), verl_batch()
    loop = pytest.importorskip("verl.experimental.reward_loop.reward_loop")

    async def scored() -> list[dict[str, Any]]:
        return await loop.RewardLoopWorker(config).compute_score_batch(batch)

    results = asyncio.run(scored())
    assert [result["reward_score"] for result in results] == rewards()
    assert [result["reward_extra_info"]["judge_failed"] for result in results] == [0.0, 0.0]


def test_ray_workers_of_verl_put_the_rewards_on_the_last_tokens(tiny_folder: Path) -> None:
    config, batch = verl_config(tiny_folder), verl_batch()
    loop, ray = pytest.importorskip("verl.experimental.reward_loop.reward_loop"), pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    try:
        scored = loop.RewardLoopManager(config).compute_rm_score(batch)
    finally:
        ray.shutdown()
    placed = scored.batch["rm_scores"]
    assert placed.sum(dim=1).tolist() == pytest.approx(rewards())
    assert placed[1, len("a bee") - 1].item() == pytest.approx(rewards()[1])  # one token for each byte
    assert scored.non_tensor_batch["judge_failed"].tolist() == [0.0, 0.0]
