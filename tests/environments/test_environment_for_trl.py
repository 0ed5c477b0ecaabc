"""The same environments in TRL's GRPOTrainer: the classes themselves, and classes that run them in a pool."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.types import FunctionCall
from preceptor.environments.calculator import Calculator
from preceptor.environments.calculator_tasks import calculator_tasks
from preceptor.environments.for_trl import ToolError, trl_environment
from preceptor.environments.limits import Limits
from preceptor.environments.loading import load_environment, row_of
from preceptor.environments.pool import EnvironmentPool

TOYS = Path(__file__).with_name("toy_environments.py")
TASKS = calculator_tasks("shown", 2)
PATIENT = Limits(seconds=300)


@pytest.fixture(scope="module")
def toys() -> Iterator[EnvironmentPool]:
    with EnvironmentPool(load_environment(f"{TOYS}:Toy"), PATIENT) as opened:
        yield opened


def test_a_tool_answers_or_raises_what_the_policy_is_shown_natively(toys: EnvironmentPool):
    (episode,) = toys.start([{"id": "p"}])
    environment = trl_environment(toys)()
    assert environment.reset(id="p", say="Hello.") == "Hello."
    assert environment.add(a=3) == "4"
    for name in ("fail", "die", "later"):
        (seen,) = toys.call([(episode, FunctionCall(name=name))])
        with pytest.raises(ToolError) as raised:
            getattr(environment, name)()
        assert str({"error": str(raised.value)}) == seen.text


def test_an_instance_is_reset_for_each_episode(toys: EnvironmentPool):
    environment = trl_environment(toys)()
    rewards: list[float] = []
    for calls in (2, 1):
        environment.reset(id="p")
        for _ in range(calls):
            environment.add(a=1)
        rewards.append(environment.get_reward())
    assert rewards == [2.0, 1.0]
    assert not hasattr(trl_environment(toys, with_reward=False), "get_reward")


@pytest.mark.parametrize("name", ["Toy", "Silent"])
def test_tools_are_described_as_those_of_the_class_itself(name: str):
    utils: Any = pytest.importorskip("transformers.utils")
    environment = load_environment(f"{TOYS}:{name}")
    with EnvironmentPool(environment, PATIENT) as pool:
        instance = trl_environment(pool)()
        schemas = [utils.get_json_schema(getattr(instance, tool)) for tool in environment.tool_names]
    assert schemas == list(environment.tools)


@pytest.mark.parametrize("in_a_pool", [False, True])
def test_a_grpo_trainer_runs_the_tools_and_takes_the_reward(tmp_path: Path, in_a_pool: bool):
    from trl_agents import train_one_step  # TRL and torch are heavy

    rows = [row_of(task) for task in TASKS]
    with EnvironmentPool(load_environment("calculator"), PATIENT) as pool:
        factory = trl_environment(pool) if in_a_pool else Calculator
        right = '<tool_call>\n{"name": "calculate", "arguments": {"expression": "1 - 1 + %s"}}\n</tool_call>'
        wrong = '<tool_call>\n{"name": "calculate", "arguments": {"expression": "1 / 0"}}\n</tool_call>'
        written = [right % TASKS[0].reference, wrong, right % TASKS[1].reference, "I do not know."]
        seen = train_one_step(tmp_path, factory, rows, written)
    assert seen.rewards == [1.0, 0.0, 1.0, 0.0]
    assert seen.observations == [TASKS[0].reference, "{'error': 'division by zero'}", TASKS[1].reference]
    assert seen.masked == [True, True, True, False]
    assert seen.failures == pytest.approx(1 / 3)
