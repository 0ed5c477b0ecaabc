"""Pairs through TRL's trainers: the tokens, labels, weights, batches, losses and steps are the native engine's."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import make_model
from pairs_small import FULL, LORA, PAIRS, weights
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.store.files import read_rows
from preceptor.tasks.engine_config import engine_config
from preceptor.training.dpo.encoding import PackedPair
from preceptor.training.dpo.examples import Example, examples_of
from preceptor.training.dpo.kto import train_kto
from preceptor.training.dpo.reference import response_log_probs
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import train_dpo, usable_pairs
from preceptor.training.files import RunFiles
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.trl.dpo_trainer import PairCollator, pair_rows
from preceptor.training.trl.kto_trainer import UnpairedCollator, unpaired_rows
from preceptor.training.trl.preferences import train_dpo_on_trl
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings

TRL = EngineSettings(name="trl")


ALIKE = [replace(each, weight=1.0) for each in PAIRS]
"""The same pairs, with equal weights."""


def run(
    root: Path, settings: DpoSettings, engine: EngineSettings, tuning: TuningSettings = LORA, **how: Any
) -> tuple[Policy, list[dict[str, Any]]]:
    """Trains on an engine; `stop_at` interrupts after a step. Returns the policy and the rows of its steps."""
    policy = how.get("policy") or Policy(make_model(), tuning, seed=0)

    def on_step(step: int, steps: int, facts: Any) -> None:
        if step == how.get("stop_at"):
            raise KeyboardInterrupt

    shared: dict[str, Any] = {
        "context": TrainingContext(
            Checkpointing(RunFiles(root), 2, how.get("at_checkpoint", lambda _: True)), 0, Processes()
        ),
        "on_step": on_step,
        "on_note": how.get("notes", []).append,
    }
    pairs = how.get("pairs", PAIRS)
    if engine.is_trl:
        train_dpo_on_trl(policy, pairs, settings, engine, tuning, **shared)
    elif settings.kind == "kto":
        train_kto(policy, pairs, [], settings, **shared)
    else:
        train_dpo(policy, pairs, settings, **shared)
    return policy, read_rows(root / "metrics.jsonl")


def packed(settings: DpoSettings) -> list[PackedPair]:
    return usable_pairs(Policy(make_model(), LORA, seed=0), PAIRS, settings, lambda _: None)


def moved(tuning: TuningSettings) -> Policy:
    """A policy that differs from its reference."""
    policy = Policy(make_model(), tuning, seed=0)
    torch.manual_seed(1)
    for parameter in policy.trainable:
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return policy


@pytest.mark.parametrize(
    ("tuning", "change"),
    [
        (LORA, {"schedule": "cosine", "warmup_steps": 2}),
        (LORA, {"kind": "conservative", "label_smoothing": 0.1, "batch_size": 5, "gradient_accumulation_steps": 5}),
        (FULL, {"kind": "robust", "label_smoothing": 0.2, "labels": "hard"}),
        (LORA, {"kind": "simpo", "beta": 2.0, "epochs": 1}),
        (FULL, {"kind": "odpo", "labels": "hard", "epochs": 1}),
    ],
    ids=["soft", "conservative in parts", "robust, full", "simpo", "odpo, full"],
)
def test_dpo_takes_the_same_steps_on_both_engines(
    tmp_path: Path, tuning: TuningSettings, change: dict[str, Any]
) -> None:
    settings = DpoSettings.model_validate({"batch_size": 2, "epochs": 2, "learning_rate": 3e-3, **change})
    native, told = run(tmp_path / "native", settings, EngineSettings(), tuning)
    policy, rows = run(tmp_path / "trl", settings, TRL, tuning)
    assert len(rows) == len(told) == (4 if settings.batch_size == 5 else 3 * settings.epochs)
    for row, expected in zip(rows, told, strict=True):
        if expected["accuracy"] is None:  # a batch of one tie
            assert (row.pop("accuracy"), expected.pop("accuracy")) == (None, None)
        assert row == pytest.approx(expected, abs=1e-4, rel=1e-4)
    assert abs(rows[0]["loss"] - told[0]["loss"]) < 1e-5
    torch.testing.assert_close(weights(policy), weights(native), atol=1e-3, rtol=0.0)
    kept, expected_files = (
        [str(file.relative_to(tmp_path / name)) for file in sorted((tmp_path / name / "checkpoints").rglob("*"))]
        for name in ("trl", "native")
    )
    assert kept == expected_files


def test_kto_takes_the_same_steps_on_both_engines(tmp_path: Path) -> None:
    """In the last batch of an epoch are the responses of one pair only, which are then compared with each other."""
    settings = DpoSettings(kind="kto", labels="hard", batch_size=2, epochs=2, learning_rate=3e-3, desirable_weight=1.5)
    native, told = run(tmp_path / "native", settings, EngineSettings(), pairs=ALIKE)
    policy, rows = run(tmp_path / "trl", settings, TRL, pairs=ALIKE)
    assert len(rows) == len(told) == 6
    for row, expected in zip(rows, told, strict=True):
        assert row == pytest.approx(expected, abs=1e-4, rel=1e-4)
    torch.testing.assert_close(weights(policy), weights(native), atol=1e-3, rtol=0.0)


def test_a_run_can_be_killed_and_stopped(tmp_path: Path) -> None:
    settings = DpoSettings(batch_size=2, epochs=2, learning_rate=3e-3)
    whole, rows = run(tmp_path / "whole", settings, TRL)
    for stop in (1, 3, 5):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", settings, TRL, stop_at=stop)
    resumed, again = run(tmp_path / "cut", settings, TRL)
    assert again == rows
    assert torch.equal(weights(resumed), weights(whole))
    seen: list[int] = []

    def enough(step: int) -> bool:
        seen.append(step)
        return step < 4

    stopped, early = run(tmp_path / "early", settings, TRL, at_checkpoint=enough)
    assert (seen, stopped.step, early) == ([0, 2, 4], 4, rows[:4])


def test_divergence_and_batches_that_cannot_be_divided_are_said(tmp_path: Path) -> None:
    policy = Policy(make_model(), LORA, seed=0)
    policy.trainable[-1].data.fill_(float("nan"))
    with pytest.raises(PreceptorError, match="diverged at step 1"):
        run(tmp_path / "nan", DpoSettings(batch_size=2), TRL, policy=policy)
    with pytest.raises(UsageError, match=r"dpo\.batch_size is 4; expected a multiple of 3"):
        run(tmp_path / "parts", DpoSettings(batch_size=4, gradient_accumulation_steps=3), TRL)


def test_text_from_outside_stays_text() -> None:
    policy = Policy(make_model(), LORA, seed=0)
    end = policy.base.tokenizer.eos_token_id
    rows = [row for row in pair_rows(packed(DpoSettings())) if len(row["chosen_ids"]) == len("of <|im_end|>course") + 1]
    [row] = rows
    assert tuple(row["prompt_ids"]) == policy.encode(PAIRS[-1].prompt)
    assert row["chosen_ids"].count(end) == row["prompt_ids"].count(end) == 1
    assert row["chosen_ids"][-1] == end


def test_only_what_the_policy_wrote_is_learned() -> None:
    tokens = TokenGroup((1, 2), ((3, 4, 5), (6, 7)), ((True, False, True), (False, True)))
    one = PackedPair("a", tokens, 1.0, 1.0)
    other = PackedPair("b", TokenGroup((8,), ((9,), (10, 11))), 1.0, 1.0)
    batch = PairCollator(pad_token_id=0)(pair_rows([one, other]))
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5], [8, 9, 0, 0, 0], [1, 2, 6, 7, 0], [8, 10, 11, 0, 0]]
    learned = [[0, 0, 1, 0, 1], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 1, 1, 0, 0]]
    assert batch["completion_mask"].tolist() == learned
    examples = examples_of([one, other], seed=0)
    unpaired = UnpairedCollator(pad_token_id=0)(unpaired_rows(examples, 4))
    sums = {tuple(example.response): sum(example.learned) for example in examples}
    assert sums == {(3, 4, 5): 2, (6, 7): 1, (9,): 1, (10, 11): 2}
    assert unpaired["completion_mask"].sum(dim=1).tolist() == [sums[each.response] for each in examples]


@pytest.mark.parametrize(("loss_type", "first"), [("hinge", 1.0), ("ipo", 25.0)])
def test_losses_that_only_trl_has(tmp_path: Path, loss_type: str, first: float) -> None:
    """Before the first step all margins are 0: hinge loss 1 - 0, and with β = 0.1 (0 - 1 / (2 β))²."""
    settings = DpoSettings(batch_size=6, labels="hard")
    engine = EngineSettings(name="trl", loss_type=loss_type)
    _, [row] = run(tmp_path / "run", settings, engine, pairs=ALIKE)
    assert row["loss"] == pytest.approx(first, abs=1e-4)
    assert row["margin"] == pytest.approx(0.0, abs=1e-5)
    assert row["chosen_log_prob"] < 0.0
    assert row["pairs"] == 5
    with pytest.raises(UsageError, match="different weights"):
        run(tmp_path / "weighted", settings, engine)
    with pytest.raises(UsageError, match="WPO"):
        run(
            tmp_path / "aot",
            settings,
            EngineSettings(name="trl", loss_type="aot", trl={"use_weighting": True}),
            pairs=ALIKE,
        )


def test_kto_splits_pairs_into_examples() -> None:
    pairs = packed(DpoSettings(labels="hard"))
    examples = examples_of(pairs, seed=0)
    assert len(examples) == 10
    assert sum(example.desirable for example in examples) == 5
    chosen = {(each.tokens.prompt, each.tokens.responses[each.p_chosen < 0.5]) for each in pairs}
    assert {(each.prompt, each.response) for each in examples if each.desirable} == chosen
    assert {each.prompt for each in examples[:5]} == {each.prompt for each in examples[5:]}
    assert examples_of(pairs, seed=0) == examples_of(list(reversed(pairs)), seed=0) != examples_of(pairs, seed=1)


def test_a_response_is_compared_with_one_to_another_prompt() -> None:
    asked = [((1,), 10, True), ((1,), 11, False), ((2,), 20, True), ((3,), 30, False)]
    listed = [Example(to, (answer,), (True,), desirable) for to, answer, desirable in asked]
    assert [row["KL_completion_ids"] for row in unpaired_rows(listed, 3)] == [[20], [20], [11], [20]]
    assert [row["KL_completion_ids"] for row in unpaired_rows(listed[:1], 3)] == [[10]]


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
def test_the_kto_loss_by_hand(tmp_path: Path, tuning: TuningSettings) -> None:
    """Ethayarajh et al. 2024, equations 7 and 8, with λ = 1."""
    policy, settings = moved(tuning), DpoSettings(batch_size=5, labels="hard", beta=0.3)
    rows = unpaired_rows(examples_of(packed(settings), seed=0), 10)
    groups = [
        TokenGroup(tuple(row["prompt_ids"]), (tuple(row["completion_ids"]), tuple(row["KL_completion_ids"])))
        for row in rows
    ]
    with torch.no_grad():
        ratio_B2 = response_log_probs(policy.log_probs(groups) - policy.reference_log_probs(groups), groups)
    baseline = ratio_B2[:, 1].mean().clamp(min=0.0)
    sign_B = torch.tensor([1.0 if row["label"] else -1.0 for row in rows])
    expected = float((1 - torch.sigmoid(0.3 * sign_B * (ratio_B2[:, 0] - baseline))).mean())
    engine = EngineSettings(name="trl", loss_type="kto")
    _, [row] = run(tmp_path, settings, engine, tuning, policy=policy, pairs=ALIKE)
    assert row["loss"] == pytest.approx(expected, abs=1e-5)
    assert row["baseline"] == pytest.approx(float(baseline), abs=1e-4)
    assert abs(expected - 0.5) > 0.01


SCRIPT = """
import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType

from test_trl_pairs import TRL, run
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.processes import Processes, leave

Processes()
PartialState().distributed_type = DistributedType.MULTI_GPU  # accelerate divides no model of processes on CPUs
run(Path(sys.argv[1]), DpoSettings(batch_size=4, learning_rate=3e-3), TRL)
leave()
"""


def test_two_processes_with_a_divided_model_learn_what_one_learns(tmp_path: Path) -> None:
    """Six pairs in batches of four: of the last batch, a process has both pairs and the other has none."""
    script, here = tmp_path / "script.py", Path(__file__).parent
    script.write_text(SCRIPT)
    config = engine_config("fsdp2", processes=2, out=tmp_path / "several.yaml").file
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), "--main_process_port", "0",
         str(script), str(tmp_path / "two")],
        capture_output=True, text=True, check=False, timeout=400,
        env=os.environ | {
            "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": os.pathsep.join([str(here), str(here.parent.parent), *sys.path]),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    policy, one = run(tmp_path / "one", DpoSettings(batch_size=4, learning_rate=3e-3), TRL)
    two = read_rows(tmp_path / "two/metrics.jsonl")
    assert [row["pairs"] for row in one] == [4, 2]
    for alone, together in zip(one, two, strict=True):
        assert together == pytest.approx(alone, abs=1e-4, rel=1e-4)
    learned = weights(policy)
    RunFiles(tmp_path / "two").load_checkpoint(policy, 2)
    torch.testing.assert_close(weights(policy), learned, atol=1e-4, rtol=0.0)
    assert list((tmp_path / "two/engine/checkpoint-2").glob("pytorch_model_fsdp*"))
