"""Two processes on TRL's trainers learn what one process learns natively from the same responses: with the whole model
in each (DDP), and with the model divided between them (FSDP2), where the main process measures a whole policy. Both
stop after two steps and continue from the trainer's state.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import two_on_trl
from safetensors.torch import load_file

from preceptor.backends.transformers.sampling import SampledResponse
from preceptor.core.errors import UsageError
from preceptor.store.files import read_rows
from preceptor.tasks.engine_config import Sharding, engine_config
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.update import Updater
from preceptor.training.trl.divided import check_trained, check_whole

LAUNCHES: list[tuple[Sharding, list[str]]] = [("ddp", ["grpo"]), ("fsdp2", ["rloo", "full"])]


def launched(root: Path, sharding: Sharding, names: list[str]) -> str:
    """Trains cases in two processes, by the configuration that preceptor writes; returns what they said."""
    config = engine_config(sharding, processes=2, out=root / "several.yaml").file
    script = Path(__file__).with_name("two_on_trl.py")
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), "--main_process_port", "0",
        str(script), str(root), *names,
    ]  # fmt: skip
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        try:
            said, _ = running.communicate(timeout=400)
        finally:
            running.terminate()  # it ends its processes, should they wait for each other for ever
    return said


def equals_one_process(root: Path, name: str) -> None:
    """Takes the steps of a case natively, on the responses that two processes sampled."""
    settings, tuning = two_on_trl.settings_of(name)
    native = two_on_trl.new_policy(tuning)
    begun = {key: tensor.clone() for key, tensor in native.weights().items()}
    updater = Updater(native, make_algorithm(settings), settings, Processes())
    prompts = {prompt.id: prompt for prompt in two_on_trl.PROMPTS}
    steps = [json.loads(line) for line in (root / f"{name}.jsonl").read_text().splitlines()]
    rows = read_rows(root / name / "metrics.jsonl")
    assert len(steps) == len(rows) == 3
    for step, (sampled, row) in enumerate(zip(steps, rows, strict=True), start=1):
        groups = [
            native.group(prompts[asked], native.encode(prompts[asked]), [SampledResponse(tuple(r), True) for r in rs])
            for asked, rs in sampled
        ]
        facts = updater.update(groups, two_on_trl.rewards_of(groups)).numbers()
        native.step = step
        assert row["reward"] == pytest.approx(facts["reward"], abs=1e-6)
        assert row["kl"] == pytest.approx(facts["kl"], abs=1e-4, rel=1e-3)
        if step >= two_on_trl.EVERY:
            learned, expected = load_file(root / f"{name}-{step}.safetensors"), native.weights()
            assert learned.keys() == expected.keys()
            moved = sum(float((expected[key] - begun[key]).norm() ** 2) for key in begun) ** 0.5
            apart = sum(float((expected[key] - learned[key]).norm() ** 2) for key in begun) ** 0.5
            assert moved > 0.01
            assert apart < 1e-3 * moved


@pytest.mark.parametrize(("sharding", "names"), LAUNCHES, ids=[sharding for sharding, _ in LAUNCHES])
def test_two_processes_learn_what_one_learns(tmp_path: Path, sharding: Sharding, names: list[str]) -> None:
    said = launched(tmp_path, sharding, names)
    for name in names:
        assert (tmp_path / f"{name}-3.safetensors").exists(), said[-3000:]
        equals_one_process(tmp_path, name)
        checkpoints = sorted(folder.name for folder in (tmp_path / name / "checkpoints").iterdir())
        assert checkpoints == ["step-000000", "step-000002", "step-000003"]
        state = tmp_path / name / "engine" / "checkpoint-3"
        assert any(path.name.startswith("pytorch_model_fsdp") for path in state.iterdir()) == (sharding == "fsdp2")


def test_a_model_that_would_be_divided_under_the_policy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Two(Processes):
        @property
        def count(self) -> int:
            return 2

    policy = two_on_trl.new_policy(two_on_trl.settings_of("rloo")[1])
    check_trained(policy.model, policy, Two())
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    check_trained(policy.model, policy, Processes())
    with pytest.raises(UsageError, match="engine config ddp"):
        check_trained(policy.model, policy, Two())
    check_whole("a model in fine-tuning", Processes())
    with pytest.raises(UsageError, match="fine-tuning cannot be divided"):
        check_whole("a model in fine-tuning", Two())
