"""DPO training: order, division and interruption change nothing; a planted preference is learnt."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from conftest import make_model, prompt
from pairs_small import FULL, LORA, PAIRS, pair, weights
from preceptor.core.errors import CheckpointError, PreceptorError, UsageError
from preceptor.core.types import FunctionCall, Message, Prompt, Response, ToolCall
from preceptor.store.files import read_rows
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.encoding import pack_pairs
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import DpoFacts, batch_of_step, train_dpo
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.tuning import TuningSettings

SETTINGS = DpoSettings(batch_size=4, epochs=2, learning_rate=1e-2)


def run(
    root: Path,
    pairs: Sequence[TrainingPair] = PAIRS,
    settings: DpoSettings = SETTINGS,
    tuning: TuningSettings = LORA,
    **how: Any,
) -> Policy:
    """Trains; `stop_at` interrupts after a step, `told` and `notes` listen."""
    policy = Policy(make_model(), tuning, seed=0)

    def on_step(step: int, steps: int, facts: DpoFacts) -> None:
        how.get("told", []).append((step, steps, facts))
        if step == how.get("stop_at"):
            raise KeyboardInterrupt

    checkpoints = Checkpointing(RunFiles(root), 2, how.get("at_checkpoint", lambda _: True))
    train_dpo(
        policy, pairs, settings, TrainingContext(checkpoints, 0, Processes()),
        on_step=on_step, on_note=how.get("notes", []).append,
    )  # fmt: skip
    return policy


def test_every_epoch_takes_each_pair_once_in_another_order() -> None:
    ids = list("abcdef")
    taken = [batch_of_step(ids, step, 4, seed=0) for step in range(1, 5)]
    assert [len(batch) for batch in taken] == [4, 2, 4, 2]
    first, second = taken[0] + taken[1], taken[2] + taken[3]
    assert sorted(first) == sorted(second) == list(range(6))
    assert first != second
    assert batch_of_step(ids, 1, 4, seed=1) != taken[0]


def test_the_first_step_starts_at_the_reference(tmp_path: Path) -> None:
    """Every margin is 0, so every loss is log 2 times its weight; the mean weight of all pairs is 1."""
    told: list[tuple[int, int, DpoFacts]] = []
    run(tmp_path, settings=SETTINGS.model_copy(update={"batch_size": 6, "epochs": 1}), told=told)
    [(step, steps, facts)] = told
    assert (step, steps, facts.pairs) == (1, 1, 6)
    assert facts.loss == pytest.approx(0.6931472, abs=1e-5)
    assert facts.margin == pytest.approx(0.0, abs=1e-5)
    policy = Policy(make_model(), LORA, seed=0)
    encoded, _ = pack_pairs(policy, PAIRS, 512)
    chosen = [policy.log_probs([each.tokens]).detach()[: len(each.tokens.responses[0])].sum() for each in encoded]
    assert facts.chosen_log_prob == pytest.approx(float(sum(chosen)) / 6, abs=1e-3)


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
def test_division_into_parts_changes_nothing(tmp_path: Path, tuning: TuningSettings) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 1e-3})
    whole = run(tmp_path / "whole", settings=settings, tuning=tuning)
    divided = settings.model_copy(update={"gradient_accumulation_steps": 3})
    parts = run(tmp_path / "parts", settings=divided, tuning=tuning)
    torch.testing.assert_close(weights(parts), weights(whole), atol=2e-5, rtol=0)
    rows = [read_rows(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    for one, other in zip(*rows, strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-4)


def test_the_order_of_the_rows_changes_nothing(tmp_path: Path) -> None:
    one = run(tmp_path / "one")
    other = run(tmp_path / "other", PAIRS[::-1])
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
def test_interrupted_equals_uninterrupted(tmp_path: Path, tuning: TuningSettings) -> None:
    whole = run(tmp_path / "whole", tuning=tuning)
    reached: list[int] = []
    for stop in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", tuning=tuning, stop_at=stop)
    kept = tmp_path / "cut/reference/log_probs.safetensors"
    before = kept.stat().st_mtime_ns
    resumed = run(tmp_path / "cut", tuning=tuning, at_checkpoint=lambda step: reached.append(step) or True)
    assert kept.stat().st_mtime_ns == before
    assert reached == [4]
    assert torch.equal(weights(whole), weights(resumed))
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "cut/metrics.jsonl").read_bytes()
    assert [p.name for p in sorted((tmp_path / "cut/checkpoints").iterdir())] == [
        "step-000000", "step-000002", "step-000004",
    ]  # fmt: skip


def test_a_resume_uses_the_kept_reference_and_verifies_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_at=1)
    with pytest.raises(UsageError, match=r"reference: .* \(pairs, pairs_hash differ\)"):
        run(tmp_path, PAIRS[:-1])
    about = tmp_path / "reference/log_probs.safetensors"
    about.write_bytes(about.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"log_probs\.safetensors: has \d+ bytes, expected"):
        run(tmp_path)


def test_at_checkpoint_can_stop(tmp_path: Path) -> None:
    policy = run(tmp_path, at_checkpoint=lambda step: step < 2)
    assert policy.step == 2
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 2


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("kind", ["sigmoid", "robust"])
def test_a_planted_preference_is_learnt(tmp_path: Path, tuning: TuningSettings, kind: str) -> None:
    """Answers that begin with "y" are better; also of prompts that were not trained on."""
    pairs = [pair(f"word {i}", f"y{i % 7}", f"n{(3 * i) % 7}", 0.9) for i in range(24)]
    settings = DpoSettings.model_validate(
        {"batch_size": 8, "epochs": 4, "learning_rate": 3e-3, "kind": kind, "label_smoothing": 0.1 * (kind == "robust")}
    )
    told: list[tuple[int, int, DpoFacts]] = []
    policy = run(tmp_path, pairs, settings, tuning, told=told)
    losses = [facts.loss for _, _, facts in told]
    assert sum(losses[-3:]) / 3 < sum(losses[:3]) / 3 - 0.05
    assert told[-1][2].accuracy == 1.0
    assert told[-1][2].margin > 0.5
    encoded, _ = pack_pairs(policy, [pair("another", "y3", "n3"), pair("unseen", "y5", "n1")], 512)
    for each in encoded:
        now, reference = (
            [part.sum() for part in log_probs.detach().split([len(ids) for ids in each.tokens.responses])]
            for log_probs in (policy.log_probs([each.tokens]), policy.reference_log_probs([each.tokens]))
        )
        assert float((now[0] - reference[0]) - (now[1] - reference[1])) > 1.0


def test_a_soft_label_below_a_half_turns_the_pair_round(tmp_path: Path) -> None:
    told: list[tuple[int, int, DpoFacts]] = []
    settings = DpoSettings(batch_size=8, epochs=4, learning_rate=3e-3)
    run(tmp_path, [pair(f"word {i}", f"n{i}", f"y{i}", 0.1) for i in range(16)], settings, told=told)
    assert told[-1][2].accuracy == 1.0
    assert told[-1][2].margin < -0.5


def test_a_pair_weighs_what_it_should(tmp_path: Path) -> None:
    """Weight 2 is the pair taken twice; scaling all weights changes nothing."""
    settings = DpoSettings(batch_size=8, learning_rate=1e-3, max_grad_norm=1e9)
    told: list[tuple[int, int, DpoFacts]] = []
    for name, pairs in {
        "once": [pair("a", "x", "yy", weight=2.0), pair("b", "z", "w")],
        "twice": [pair("a", "x", "yy"), pair("a", "x", "yy"), pair("b", "z", "w")],
        "scaled": [pair("a", "x", "yy", weight=20.0), pair("b", "z", "w", weight=10.0)],
    }.items():
        run(tmp_path / name, pairs, settings, told=told)
    once, twice, scaled = (facts.grad_norm for _, _, facts in told)
    assert once == pytest.approx(twice, rel=1e-4)
    assert once == pytest.approx(scaled, rel=1e-5)


def test_what_cannot_be_learnt_is_left_out_and_said(tmp_path: Path) -> None:
    question = prompt("t")
    turns = (Message(role="assistant", content="a"), Message(role="user", content="u"), Message(role="assistant"))
    trajectory = Response(prompt_id=question.id, text="x", trajectory=turns)
    told = Response(prompt_id=question.id, text="", trajectory=(turns[1], turns[0]))
    silent = Response(prompt_id=question.id, text="", trajectory=turns[1:])
    plain = Response(prompt_id=question.id, text="y")
    call = Message(role="assistant", tool_calls=(ToolCall(function=FunctionCall(name="f")),))
    tools = Prompt(id="tools", conversation=(Message(role="user", content="u"), call, *question.conversation))
    unusable = [
        pair("long", "x" * 600, "y"),
        pair("same", "x", "x"),
        pair("empty", " ", "y"),
        TrainingPair("trajectory", question, trajectory, plain, 1.0, 1.0, "ai"),
        TrainingPair("told", question, told, plain, 1.0, 1.0, "ai"),
        TrainingPair("silent", question, silent, plain, 1.0, 1.0, "ai"),
        TrainingPair("tools", tools, plain, trajectory.model_copy(update={"trajectory": ()}), 1.0, 1.0, "ai"),
    ]
    notes: list[str] = []
    settings = DpoSettings(batch_size=16, labels="hard", max_length=2000)
    steps: list[tuple[int, int, DpoFacts]] = []
    run(tmp_path, PAIRS + unusable, settings, notes=notes, told=steps)
    assert sorted(notes) == [
        "1 of 13 pairs left out: a tie has no hard label",
        "1 of 13 pairs left out: both responses have the same tokens",
        "1 of 13 pairs left out: longer than 512 tokens",
        "1 of 13 pairs left out: the policy's chat template refuses a response",
        "2 of 13 pairs left out: a response is empty",
    ]
    assert steps[0][2].pairs == 7
    with pytest.raises(UsageError, match=r"no pair to learn from: 1 of 1 pairs left out: longer than 512 tokens"):
        run(tmp_path / "none", unusable[:1], settings)
    with pytest.raises(UsageError, match="no pair to learn from: there are none"):
        run(tmp_path / "nothing", [], settings)


def test_a_response_that_was_cut_teaches_no_end() -> None:
    policy = Policy(make_model(), LORA, seed=0)
    whole = pair("ab", "yes", "no")
    cut = dataclasses.replace(whole, rejected=whole.rejected.model_copy(update={"finished": False}))
    [encoded], _ = pack_pairs(policy, [cut], 100)
    chosen, rejected = encoded.tokens.responses
    assert chosen[-1] == policy.base.tokenizer.eos_token_id
    assert rejected == tuple(policy.base.tokenizer("no")["input_ids"])


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    with pytest.raises(PreceptorError, match=r"training diverged at step 2: .*lower the learning rate \(now 1e\+30\)"):
        run(tmp_path, settings=SETTINGS.model_copy(update={"learning_rate": 1e30}))
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["step"] == 1


def test_smoothing_without_effect_is_refused() -> None:
    with pytest.raises(ValidationError, match='no effect with kind "sigmoid"'):
        DpoSettings(label_smoothing=0.1)
    assert DpoSettings(label_smoothing=0.1, kind="robust").label_smoothing == 0.1
