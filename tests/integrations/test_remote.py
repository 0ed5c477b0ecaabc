"""Rewards from a service in another process: for TRL's GRPOTrainer, which trains with them, and for verl's function."""

import asyncio
import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import datasets
import pytest
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

import preceptor as pc
from backends.fault_server import FaultServer, Script
from preceptor.integrations.remote import RemoteReward
from preceptor.integrations.verl import compute_score
from serve_small import service_process
from trl_small import trl_settings

PROMPTS = ["Say ant", "Say ant", "Say bee"]
RESPONSES = ["an ant", "ANT", "a bee"]
TOKEN = "a-token-for-the-tests"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    folder = tmp_path_factory.mktemp("service")
    with service_process(folder, "warm=scripted:random:warm_tone", "ten=scripted:random", token=TOKEN) as address:
        yield address


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_SERVICE_TOKEN", TOKEN)


def test_rewards_are_those_of_the_judge(url: str, token: None) -> None:
    expected = pc.Judge("scripted:random", constitution="warm_tone").reward(PROMPTS, RESPONSES)
    assert RemoteReward(url, "warm")(PROMPTS, RESPONSES, completion_ids=[[1]] * 3) == pytest.approx(expected)
    ten = pc.Judge("scripted:random").reward(PROMPTS * 50, RESPONSES * 50)
    assert RemoteReward(f"{url}/", "ten")(PROMPTS * 50, RESPONSES * 50) == pytest.approx(ten)  # more than one request
    conversation = [{"role": "user", "content": "Say ant"}]
    assert asyncio.run(RemoteReward(url, "warm").areward(conversation, "an ant")) == pytest.approx(expected[0])


def test_grpo_trains_with_a_judge_in_a_service(url: str, token: None, tmp_path: Path, tiny_folder: Path) -> None:
    settings = trl_settings(GRPOConfig, tmp_path, steps=2)
    rows = datasets.Dataset.from_dict({"prompt": [[{"role": "user", "content": f"Say {n}"}] for n in "abcd"]})
    reward: Any = RemoteReward(url, "warm")
    training = GRPOTrainer(model=str(tiny_folder), reward_funcs=[reward], args=settings, train_dataset=rows)
    training.train()
    logged = [entry for entry in training.state.log_history if "reward" in entry]
    assert len(logged) == 2
    assert all(entry["rewards/warm/mean"] != 0.0 for entry in logged)


def test_verl_asks_a_service(url: str, token: None) -> None:
    row: dict[str, Any] = {"data_source": "", "ground_truth": None, "extra_info": {"question": "Say ant"}}
    given = asyncio.run(compute_score(solution_str="an ant", judge={"url": url, "judge": "warm"}, **row))
    expected = pc.Judge("scripted:random", constitution="warm_tone").reward(PROMPTS, RESPONSES)
    assert given == {"score": pytest.approx(expected[0]), "judge_failed": 0.0}


def test_what_the_service_refuses_is_said_in_its_words(url: str, token: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pc.UsageError, match=r"404.*cold"):
        RemoteReward(url, "cold")(PROMPTS, RESPONSES)
    with pytest.raises(pc.UsageError, match=r"422.*user"):
        RemoteReward(url, "warm")([[{"role": "assistant", "content": "x"}]], ["y"])
    monkeypatch.delenv("PRECEPTOR_SERVICE_TOKEN")
    with pytest.raises(pc.UsageError, match=r"401.*Bearer"):
        RemoteReward(url, "warm")(PROMPTS, RESPONSES)


def test_a_failure_is_none_and_its_reason_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    script = Script(most_listed=0, votes=("7",), faults={"a bee": ["400"] * 40})
    with FaultServer(script) as server, service_process(tmp_path, f"openai:tiny@{server.url}:helpful") as address:
        with caplog.at_level(logging.WARNING, "preceptor.integrations"):
            rewards = RemoteReward(address)(PROMPTS, RESPONSES)
        failure = asyncio.run(RemoteReward(address).areward("Say bee", "a bee"))
    assert rewards == [pytest.approx(1 / 3), pytest.approx(1 / 3), None]  # every vote is a 7 of 10
    assert "1 of 3" in caplog.text
    assert isinstance(failure, pc.JudgeFailure)
    assert failure.reason == "refused"


def test_a_service_that_is_not_there_is_waited_for_and_named() -> None:
    with pytest.raises(pc.PreceptorError, match=r"127\.0\.0\.1:9 gave no rewards"):
        RemoteReward("http://127.0.0.1:9", patience_s=0.5)(PROMPTS, RESPONSES)
