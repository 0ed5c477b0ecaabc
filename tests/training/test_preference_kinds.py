"""Every kind of loss trains a policy, and asks for what it needs alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from conftest import make_model, prompt
from preceptor.core.types import Response
from preceptor.objectives.preferences.kinds import KINDS, PreferenceKind
from preceptor.store.files import read_rows
from preceptor.store.rated_responses import RatedResponse
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.examples import usable_examples
from preceptor.training.dpo.kto import train_kto
from preceptor.training.dpo.reference import response_log_probs
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import train_dpo, usable_pairs
from preceptor.training.files import RunFiles
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.tuning import TuningSettings

LORA = TuningSettings(rank=4, precision="fp32")
OWN: dict[PreferenceKind, dict[str, Any]] = {
    "sigmoid": {},
    "conservative": {"label_smoothing": 0.1},
    "robust": {"label_smoothing": 0.1},
    "sigmoid_norm": {"beta": 2.0},
    "ipo": {},
    "odpo": {"offset_scale": 0.5},
    "simpo": {"beta": 2.0},
    "orpo": {},
    "kto": {"desirable_weight": 1.5},
}


def answer(asked: str, text: str) -> Response:
    return Response(prompt_id=f"id-{asked}", text=text)


def pair(asked: str, chosen: str, rejected: str, p: float = 1.0, difference: float | None = None) -> TrainingPair:
    one, other = answer(asked, chosen), answer(asked, rejected)
    return TrainingPair(asked, prompt(asked), one, other, p, 1.0, "ai", difference)


def rated(asked: str, text: str, desirable: float, weight: float = 1.0) -> RatedResponse:
    return RatedResponse(f"{asked}-{text}", prompt(asked), answer(asked, text), desirable, weight)


PAIRS = [pair(f"w{i}", "yes" * (1 + i % 2), "never", 0.9) for i in range(4)]


def settings_of(kind: PreferenceKind, **more: Any) -> DpoSettings:
    given = {"kind": kind, "batch_size": 2, "epochs": 2, "learning_rate": 3e-3, **OWN[kind], **more}
    return DpoSettings.model_validate(given)


def run(
    root: Path, settings: DpoSettings, pairs: list[TrainingPair], rows: list[RatedResponse] | None = None, **how: Any
) -> tuple[Policy, list[dict[str, Any]]]:
    """Trains; `stop_at` interrupts after a step. Returns the policy and the rows of its steps."""
    policy = how.get("policy") or Policy(make_model(), LORA, seed=0)

    def on_step(step: int, steps: int, facts: Any) -> None:
        if step == how.get("stop_at"):
            raise KeyboardInterrupt

    shared: dict[str, Any] = {
        "context": TrainingContext(Checkpointing(RunFiles(root), 2, lambda _: True), 0, Processes()),
        "on_step": on_step,
        "on_note": how.get("notes", []).append,
    }
    if settings.kind == "kto":
        train_kto(policy, pairs, rows or [], settings, **shared)
    else:
        train_dpo(policy, pairs, settings, **shared)
    return policy, read_rows(root / "metrics.jsonl")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_asks_the_reference_only_if_it_needs_it(tmp_path: Path, kind: PreferenceKind) -> None:
    policy, rows = run(tmp_path, settings_of(kind), PAIRS)
    assert len(rows) == policy.step == 4
    assert rows[-1]["margin"] > rows[0]["margin"]
    assert (tmp_path / "reference").exists() == KINDS[kind].reference
    if KINDS[kind].reference:
        assert rows[0]["margin"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("kind", ["simpo", "kto"])
def test_interrupted_equals_uninterrupted(tmp_path: Path, kind: PreferenceKind) -> None:
    whole, rows = run(tmp_path / "whole", settings_of(kind), PAIRS)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", settings_of(kind), PAIRS, stop_at=3)
    resumed, again = run(tmp_path / "cut", settings_of(kind), PAIRS)
    assert again == rows
    for one, other in zip(resumed.trainable, whole.trainable, strict=True):
        assert torch.equal(one, other)


def test_odpo_takes_its_offset_from_the_label_or_from_scores() -> None:
    policy = Policy(make_model(), LORA, seed=0)
    scored = [pair("a", "x", "y", 0.8, difference=3.0), pair("b", "x", "y", 0.6)]

    def differences(notes: list[str], **given: Any) -> list[float | None]:
        return [each.difference for each in usable_pairs(policy, scored, DpoSettings(**given), notes.append)]

    said: list[str] = []
    assert differences(said, kind="odpo") == pytest.approx([0.6, 0.2])
    assert differences(said, kind="odpo", labels="hard") == pytest.approx([0.6, 0.2])
    assert differences(said) == [None, None]
    assert said == []
    assert differences(said, kind="odpo", offset_from="scores") == [3.0]
    assert "scores" in said[0]


def test_kto_by_hand(tmp_path: Path) -> None:
    """The loss, and a baseline on responses to other prompts, of a policy that differs from its reference."""
    policy, settings = Policy(make_model(), LORA, seed=0), settings_of("kto", batch_size=4, epochs=1, beta=0.3)
    torch.manual_seed(1)
    for parameter in policy.trainable:
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    rows = [rated("w1", "maybe", 0.25, weight=2.0), rated("z", "of course", 1.0)]
    examples = usable_examples(policy, PAIRS[:3], rows, settings, 0, lambda _: None)
    assert len(examples) == 8

    def ratios(groups: list[TokenGroup]) -> torch.Tensor:
        with torch.no_grad():
            return response_log_probs(policy.log_probs(groups) - policy.reference_log_probs(groups), groups)[:, 0]

    others: list[TokenGroup] = []
    for place, example in enumerate(examples):
        back = next(i for i in range(1, 9) if examples[place - i].prompt != example.prompt)
        others.append(TokenGroup(example.prompt, (examples[place - back].response,)))
    baseline = max(0.0, float(ratios(others).mean()))
    raised = torch.sigmoid(0.3 * (ratios([example.tokens for example in examples]) - baseline))
    good = torch.tensor([example.desirable for example in examples])
    weights = torch.tensor([example.weight for example in examples]) / (9 / 8)
    expected = float((weights * (1.5 * good * (1 - raised) + (1 - good) * raised)).mean())
    _, [row] = run(tmp_path, settings, PAIRS[:3], rows, policy=policy)
    assert row["loss"] == pytest.approx(expected, abs=1e-5)
    assert row["baseline"] == pytest.approx(baseline, abs=1e-4)
    assert abs(expected - 0.5) > 0.01


def test_kto_needs_no_pairs(tmp_path: Path) -> None:
    rows = [rated(f"w{i}", "yes" if i % 2 else "never", float(i % 2)) for i in range(8)]
    notes: list[str] = []
    unusable = [rated("w", "x" * 600, 1.0), rated("w", " ", 1.0), rated("w", "tie", 0.5)]
    settings = settings_of("kto", labels="hard", batch_size=2)
    _, steps = run(tmp_path, settings, [], rows + unusable, notes=notes)
    assert len(steps) == 4
    assert steps[-1]["margin"] > steps[0]["margin"]
    assert sorted(note.split(" responses")[0] for note in notes) == ["1 of 11"] * 3


def test_division_into_parts_changes_nothing(tmp_path: Path) -> None:
    """The baseline is that of the whole batch."""
    _, whole = run(tmp_path / "whole", settings_of("kto"), PAIRS)
    _, parts = run(tmp_path / "parts", settings_of("kto", gradient_accumulation_steps=2), PAIRS)
    for one, other in zip(parts, whole, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"label_smoothing": 0.1, "kind": "ipo"}, "conservative"),
        ({"target_margin": 0.5}, "simpo"),
        ({"offset_scale": 1.0, "kind": "simpo", "beta": 2.0}, "odpo"),
        ({"offset_from": "scores"}, "odpo"),
        ({"desirable_weight": 2.0}, "kto"),
        ({"undesirable_weight": 2.0, "kind": "robust"}, "kto"),
        ({"kind": "simpo"}, "beta"),
        ({"kind": "sigmoid_norm"}, "beta"),
    ],
)
def test_a_setting_without_effect_or_a_missing_one_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DpoSettings.model_validate(given)


def test_settings_that_are_absent_are_not_written() -> None:
    written = set(DpoSettings().model_dump(mode="json"))
    assert written.isdisjoint({name for needs in KINDS.values() for name in needs.settings} - {"label_smoothing"})
    assert DpoSettings.model_validate(DpoSettings(kind="simpo", beta=2.0).model_dump()).target_margin is None
