"""Fine-tuning: the answer and its end are learnt and nothing else; what comes out is a whole model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import make_tokenizer, prompt
from preceptor.backends.base import CompleteRequest, Completion
from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.errors import CheckpointError, PreceptorError, UsageError
from preceptor.core.types import Message
from preceptor.store.demonstrations import Demonstration
from preceptor.store.files import read_rows
from preceptor.training.sft.encoding import NO_LOSS, encode_demonstrations
from preceptor.training.sft.settings import SftSettings
from preceptor.training.sft.train import train_sft
from preceptor.training.tuning import TuningSettings

LORA = TuningSettings(rank=4, precision="fp32")
FULL = TuningSettings(method="full", precision="fp32")
SETTINGS = SftSettings(batch_size=2, epochs=2, learning_rate=1e-2, checkpoint_every=2)
ROWS = [("a", "xyz"), ("bcd", "w"), ("ef", "vvvvv"), ("g", "u t"), ("hi jk", "s")]
DEMONSTRATIONS = [Demonstration(prompt(asked), answer) for asked, answer in ROWS]


def run(
    base: Path, folder: Path, demonstrations: list[Demonstration] = DEMONSTRATIONS,
    settings: SftSettings = SETTINGS, tuning: TuningSettings = LORA, **how: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """Trains; `stop_at` interrupts after a step. Gives what was logged."""
    logged: list[dict[str, Any]] = []

    def on_log(row: dict[str, Any]) -> None:
        logged.append(row)
        if row["step"] == how.get("stop_at"):
            raise KeyboardInterrupt

    made = train_sft(
        str(base), demonstrations, tuning, settings,
        folder=folder, seed=0, on_log=on_log, on_note=how.get("notes", []).append,
    )  # fmt: skip
    assert made == folder
    return logged


def plain_loss(model: LocalModel, demonstrations: list[Demonstration], *, end: bool = True) -> Tensor:
    """Mean negative log-likelihood of the answers' tokens, one sequence at a time."""
    losses: list[Tensor] = []
    for each in demonstrations:
        asked = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in each.prompt.conversation)
        before = model.tokenizer(asked + "<|im_start|>assistant\n")["input_ids"]
        answer = model.tokenizer(each.answer + ("<|im_end|>" if end else ""))["input_ids"]
        log_probs = torch.log_softmax(model.model(torch.tensor([before + answer])).logits[0], dim=-1)
        losses += [-log_probs[len(before) - 1 + i, token] for i, token in enumerate(answer)]
    return torch.stack(losses).mean().detach()


def test_the_loss_is_on_the_answers_and_their_end_alone(tiny_folder: Path, tmp_path: Path) -> None:
    base = LocalModel(load(str(tiny_folder), torch.float32))
    [first] = run(tiny_folder, tmp_path / "out", settings=SftSettings(batch_size=5))
    assert first["loss"] == pytest.approx(float(plain_loss(base, DEMONSTRATIONS)), abs=1e-4)
    assert abs(first["loss"] - float(plain_loss(base, DEMONSTRATIONS, end=False))) > 0.05
    assert (first["step"], first["steps"], first["learning_rate"]) == (1, 1, 1e-4)


def test_padding_is_not_learnt_and_the_end_is() -> None:
    """Both are the same token in the embedded model."""
    tokenizer = make_tokenizer()
    rows, notes = encode_demonstrations(tokenizer, [DEMONSTRATIONS[0]], 512)
    [row] = rows
    answer = [*tokenizer("xyz")["input_ids"], tokenizer.eos_token_id]
    assert row["labels"][-4:] == row["input_ids"][-4:] == answer
    assert set(row["labels"][:-4]) == {NO_LOSS}
    assert (tokenizer.pad_token_id, notes) == (tokenizer.eos_token_id, [])


def test_a_cut_answer_teaches_no_end() -> None:
    tokenizer = make_tokenizer()
    [row], _ = encode_demonstrations(tokenizer, [Demonstration(prompt("a"), "xyz", finished=False)], 512)
    assert row["labels"][-4:] == [NO_LOSS, *tokenizer("xyz")["input_ids"]]


def test_a_control_token_in_an_answer_is_text() -> None:
    tokenizer = make_tokenizer()
    [row], _ = encode_demonstrations(tokenizer, [Demonstration(prompt("a"), "x<|im_end|>y")], 512)
    learnt = [token for token in row["labels"] if token != NO_LOSS]
    assert [token == tokenizer.eos_token_id for token in learnt].count(True) == 1
    assert len(learnt) == len("x<|im_end|>y") + 1


def test_what_was_learnt_comes_out_of_the_folder(tiny_folder: Path, tmp_path: Path) -> None:
    settings = SftSettings(batch_size=5, epochs=60, learning_rate=2e-2, schedule="linear", warmup_steps=2)
    run(tiny_folder, tmp_path / "out", settings=settings, tuning=FULL)
    model = LocalModel(load(str(tmp_path / "out"), torch.float32))
    asked = [CompleteRequest(d.prompt.conversation, max_new_tokens=12, temperature=0.0) for d in DEMONSTRATIONS]
    answers = {i: completion for batch in model.complete(asked) for i, completion in batch}
    for i, demonstration in enumerate(DEMONSTRATIONS):
        answer = answers[i]
        assert isinstance(answer, Completion)
        assert (answer.text, answer.finished) == (demonstration.answer, True)


def test_adapters_are_merged(tiny_folder: Path, tmp_path: Path) -> None:
    """The loss that the folder's model has is the one that training had reached: the next step's, before its update."""
    settings = SftSettings(batch_size=5, epochs=31, learning_rate=1e-2)
    logged = run(tiny_folder, tmp_path / "longer", settings=settings)
    run(tiny_folder, tmp_path / "out", settings=settings.model_copy(update={"epochs": 30}))
    reached = float(plain_loss(LocalModel(load(str(tmp_path / "out"), torch.float32)), DEMONSTRATIONS))
    assert reached == pytest.approx(logged[30]["loss"], abs=1e-3)
    assert reached < logged[0]["loss"] - 5.0


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
def test_interrupted_equals_uninterrupted(tiny_folder: Path, tmp_path: Path, tuning: TuningSettings) -> None:
    run(tiny_folder, tmp_path / "whole", tuning=tuning)
    for stop in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            run(tiny_folder, tmp_path / "cut", tuning=tuning, stop_at=stop)
    torn = tmp_path / "cut.training/checkpoint-4"  # killed while it wrote this one
    (torn / "manifest.json").unlink()
    logged = run(tiny_folder, tmp_path / "cut", tuning=tuning)
    assert [row["step"] for row in logged] == [3, 4, 5, 6]
    for name in ("model.safetensors", "metrics.jsonl", "README.md"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    assert [row["step"] for row in read_rows(tmp_path / "cut/metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert [path.name for path in (tmp_path / "cut.training").iterdir()] == ["training.json"]


def test_a_finished_model_is_verified_and_kept(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert len(run(tiny_folder, folder)) == 6
    assert run(tiny_folder, folder) == []
    with pytest.raises(
        UsageError, match=r"out\.training: belongs to a training with other settings; name another folder"
    ):
        run(tiny_folder, folder, settings=SETTINGS.model_copy(update={"epochs": 3}))
    with pytest.raises(UsageError, match=r"with other demonstrations, demonstrations_hash;"):
        run(tiny_folder, folder, DEMONSTRATIONS[1:])
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: has \d+ bytes, expected"):
        run(tiny_folder, folder)
    with pytest.raises(UsageError, match=r"no tiny\.training/training\.json says what it was made from"):
        run(tiny_folder, tiny_folder)


def test_a_training_that_was_cut_is_not_continued_with_other_data(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tiny_folder, tmp_path / "out", stop_at=3)
    with pytest.raises(UsageError, match=r"with other demonstrations, demonstrations_hash;"):
        run(tiny_folder, tmp_path / "out", DEMONSTRATIONS[1:])


def test_the_folder_is_a_model_with_a_card_and_says_nothing_of_paths(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logged = run(tiny_folder, tmp_path / "out")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "loss" not in printed.err and "it/s" not in printed.err
    card = (tmp_path / "out/README.md").read_text()
    assert "fine-tuned by preceptor on 5 demonstrations" in card
    assert f"{logged[-1]['loss']:.4f} nats per token" in card
    for path in (tmp_path / "out").glob("*.*"):
        assert str(tiny_folder).encode() not in path.read_bytes()
    assert json.loads((tmp_path / "out/config.json").read_text())["use_cache"] is True
    assert load(str(tmp_path / "out"), torch.float32).tokenizer.chat_template is not None


def test_what_cannot_be_learnt_is_left_out_and_said(tiny_folder: Path, tmp_path: Path) -> None:
    told = (Message(role="user", content="u"), Message(role="assistant", content="x"))
    unusable = [
        Demonstration(prompt("long"), "x" * 600),
        Demonstration(prompt("empty"), " "),
        Demonstration(prompt("told"), "x", trajectory=told),
    ]
    notes: list[str] = []
    settings = SftSettings(batch_size=5, max_length=4096)
    assert len(run(tiny_folder, tmp_path / "out", DEMONSTRATIONS + unusable, settings, notes=notes)) == 1
    assert notes == [
        "1 of 8 demonstrations left out: longer than 512 tokens",
        "1 of 8 demonstrations left out: the answer is empty",
        "1 of 8 demonstrations left out: the model's chat template refuses the trajectory",
    ]
    with pytest.raises(UsageError, match=r"no demonstration to learn: 1 of 1 demonstrations left out: longer than 512"):
        run(tiny_folder, tmp_path / "none", unusable[:1])
    with pytest.raises(UsageError, match="no demonstration to learn: there are none"):
        run(tiny_folder, tmp_path / "nothing", [])


def test_accumulation_changes_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    settings = SftSettings(batch_size=4, epochs=2, learning_rate=1e-3)
    whole = run(tiny_folder, tmp_path / "whole", settings=settings)
    divided = settings.model_copy(update={"gradient_accumulation_steps": 2})
    parts = run(tiny_folder, tmp_path / "parts", settings=divided)
    for one, other in zip(whole, parts, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=1e-3)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-2)
    with pytest.raises(UsageError, match=r"sft\.batch_size is 5; expected a multiple of 2: 1 processes × 2"):
        run(tiny_folder, tmp_path / "odd", settings=divided.model_copy(update={"batch_size": 5}))


def test_bfloat16_with_checkpointed_activations(tiny_folder: Path, tmp_path: Path) -> None:
    tuning = TuningSettings(rank=4, precision="bf16", gradient_checkpointing=True)
    settings = SETTINGS.model_copy(update={"learning_rate": 1e-3})
    plain = run(tiny_folder, tmp_path / "plain", settings=settings)
    other = run(tiny_folder, tmp_path / "bf16", settings=settings, tuning=tuning)
    assert [row["loss"] for row in other] == pytest.approx([row["loss"] for row in plain], rel=0.05)
    saved = load(str(tmp_path / "bf16"), torch.bfloat16).model
    assert json.loads((tmp_path / "bf16/config.json").read_text())["dtype"] == "bfloat16"
    assert not saved.is_gradient_checkpointing


def test_a_training_that_diverges_says_so(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PreceptorError, match=r"fine-tuning diverged at step \d: loss .*lower the learning rate"):
        run(tiny_folder, tmp_path / "out", settings=SETTINGS.model_copy(update={"learning_rate": 1e30}))
    assert not (tmp_path / "out").exists()
