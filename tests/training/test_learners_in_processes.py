"""Two processes train as one does: DPO and KTO to rounding, fine-tuning too; one of them writes."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from preceptor.store.files import check_folder, read_rows

SCRIPT = """
import sys
from pathlib import Path

from accelerate import PartialState

PartialState(cpu=True)  # without it accelerate takes several processes without a GPU for one each

from conftest import make_model, prompt
from preceptor.core.types import Response
from preceptor.store.demonstrations import Demonstration
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.kto import train_kto
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import train_dpo
from preceptor.training.files import RunFiles
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes, leave
from preceptor.training.sft.settings import SftSettings
from preceptor.training.sft.train import train_sft
from preceptor.training.tuning import TuningSettings

base, root = sys.argv[1], Path(sys.argv[2])
tuning = TuningSettings(rank=4, precision="fp32")
processes = Processes()
said = []
pairs = []
for i in range(9):
    asked = prompt(f"q{i}")
    chosen, rejected = (Response(prompt_id=asked.id, text=text * (i % 3 + 1)) for text in ("yes", "no"))
    pairs.append(TrainingPair(str(i), asked, chosen, rejected, 0.9, 1.0 + i % 2, "ai"))
train_dpo(
    Policy(make_model(), tuning, seed=0), pairs, DpoSettings(batch_size=5, epochs=2, learning_rate=1e-3),
    TrainingContext(Checkpointing(RunFiles(root / "dpo"), 100, lambda _: True), 0, processes),
    on_step=lambda *told: said.append(told), on_note=said.append,
)
train_kto(
    Policy(make_model(), tuning, seed=0), pairs, [], DpoSettings(kind="kto", batch_size=5, learning_rate=1e-2),
    TrainingContext(Checkpointing(RunFiles(root / "kto"), 100, lambda _: True), 0, processes),
    on_step=lambda *told: said.append(told), on_note=said.append,
)
demonstrations = [Demonstration(prompt(f"q{i}"), "ab" * (i + 1)) for i in range(8)]
train_sft(
    base, demonstrations, tuning, SftSettings(batch_size=4, learning_rate=1e-3, checkpoint_every=1),
    folder=root / "sft", seed=0, on_log=said.append, on_note=said.append,
)
(root / f"said-{processes.index}-of-{processes.count}").write_text(str(len(said)))
leave()
"""


def launch(script: Path, base: Path, root: Path) -> None:
    """As `accelerate launch` does on machines with several devices."""
    paths = os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])
    how = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script), str(base), str(root)]
    done = subprocess.run(
        [sys.executable, *how],
        capture_output=True, text=True, check=False, timeout=300,
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def rows(file: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if value is not None} for row in read_rows(file)]


def test_two_processes_train_as_one_does(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, one, two = (tmp_path / name for name in ("script.py", "one", "two"))
    script.write_text(SCRIPT)
    for root in (one, two):
        root.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), str(tiny_folder), str(one)])
        runpy.run_path(str(script))
    launch(script, tiny_folder, two)
    assert {p.name: json.loads(p.read_text()) for p in two.glob("said-*")} == {"said-0-of-2": 8, "said-1-of-2": 0}
    for name in ("dpo", "kto", "sft"):
        alone, together = rows(one / name / "metrics.jsonl"), rows(two / name / "metrics.jsonl")
        assert len(alone) == {"dpo": 4, "kto": 2, "sft": 2}[name]
        for first, second in zip(alone, together, strict=True):
            assert second == pytest.approx(first, rel=2e-3, abs=1e-4)
    check_folder(two / "sft")
    merged = [load_file(root / "sft/model.safetensors") for root in (one, two)]
    for name, tensor in merged[0].items():
        assert float((tensor - merged[1][name]).abs().max()) < 5e-4
