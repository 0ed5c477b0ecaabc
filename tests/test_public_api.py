"""The public API as the README shows it: judge, label, audit, evaluate and a reward for TRL, in a few lines each."""

import asyncio
from pathlib import Path
from typing import Any

import datasets
import pytest
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

import preceptor as pc
from small import WORDS

PAIRS: list[dict[str, Any]] = [
    {"prompt": f"question {i}", "response_a": f"answer {i}", "response_b": f"other {i}"} for i in range(24)
]
PEOPLE = [{**pair, "label": "a" if i % 3 else "b"} for i, pair in enumerate(PAIRS)]


def test_a_judge_in_three_lines() -> None:
    judge = pc.Judge("embedded", constitution="helpful", variant="detailed")
    p = judge.compare("Why is the sky blue?", a="Rayleigh scattering.", b="Because.")
    assert isinstance(p, pc.Preference)
    score = judge.score("Why is the sky blue?", "Rayleigh scattering.")
    assert isinstance(score, pc.Score)
    assert 1.0 <= score.expectation <= 10.0


def test_a_judge_is_a_reward_of_trl(tmp_path: Path, tiny_folder: Path) -> None:
    judge = pc.Judge("scripted:random", constitution="warm_tone")
    rows = datasets.Dataset.from_dict({"prompt": [pair["prompt"] for pair in PAIRS[:4]]})
    settings = GRPOConfig(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=4, num_generations=2,
        max_completion_length=4, report_to="none", use_cpu=True, bf16=False, save_strategy="no",
    )  # fmt: skip
    GRPOTrainer(str(tiny_folder), reward_funcs=[judge.reward], args=settings, train_dataset=rows).train()
    assert judge.calls > 0


def test_labels_and_an_estimate_from_them(tmp_path: Path) -> None:
    judge = pc.Judge("scripted:random")
    labels = pc.label(PAIRS, judges=[judge], out=tmp_path / "labels")
    assert labels.to_dataset().num_rows == len(labels.to_pandas()) == 24
    assert labels.position_bias is not None
    assert labels.failures == ()
    people = [{**row, "id": label.id} for row, label in zip(PEOPLE[:12], labels, strict=False)]
    estimate = pc.estimate(labels.path, people=people, sample="random")
    assert estimate.estimates.n_human == 12


def test_an_audit_names_the_judge_to_use() -> None:
    judge, other = pc.Judge("scripted:random"), pc.Judge("scripted:first")
    audit = pc.audit(PEOPLE, judges=[judge, other])
    assert audit.recommended is None
    assert audit[judge].alignment is not None
    assert audit[other].position_bias == 1.0
    assert audit.warnings


def test_evaluate_and_agreement() -> None:
    result = pc.evaluate(
        base=["Because.", "No."],
        tuned=["Rayleigh scattering.", "No, a whale is a mammal."],
        prompts=["Why is the sky blue?", "Is a whale a fish?"],
        judge=pc.Judge("scripted:random"),
    )
    assert "tuned" in str(result)
    agreement = pc.agreement([{**PAIRS[0], "ratings": ["a", "a", "b"]}])
    assert agreement.agreement.opinions == 3


def test_all_of_it_works_inside_a_running_event_loop() -> None:
    async def notebook() -> float:
        judge = pc.Judge("scripted:random")
        direct = judge.compare("q", "x", "y")
        awaited = await judge.acompare("q", "x", "y")
        assert direct == awaited
        audit = pc.audit(PEOPLE, judges=judge)
        assert audit[judge].alignment is not None
        return audit[judge].rows

    assert asyncio.run(notebook()) == 24


def test_a_run_and_its_evaluation(tmp_path: Path, tiny_folder: Path) -> None:
    judge, other = pc.Judge("scripted:random", constitution="warm_tone"), pc.Judge("scripted:first")
    run = pc.run(
        "direct_rlaif",
        policy=tiny_folder,
        judge=judge,
        prompts=[f"Say {word}" for word in WORDS],
        out=tmp_path / "run",
        rl={"steps": 2, "prompts_per_step": 2, "group_size": 2, "max_new_tokens": 4},
        evaluation={"heldout_share": 0.6, "validation_share": 0.4, "checkpoint_every": 1, "stop_early": False},
        tuning={"rank": 2},
        licence={"waived": True},
    )
    assert run.held_out_change is not None
    assert isinstance(run.generate("Hello", max_new_tokens=4), str)
    result = pc.evaluate(base=run.base, tuned=run.best, judge=other, answering=pc.Answering(max_new_tokens=4))
    assert "tuned" in str(result)
    assert pc.load_run(run.path) == run
    for wrong in ({"max_new_tokens": -4}, {"temperature": -1.0}):
        with pytest.raises(pc.UsageError, match=next(iter(wrong))):
            run.generate("Hello", **wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(pc.UsageError, match="samples"):
        pc.sweep(run, samples=-1)


def test_a_result_stands_where_its_rows_or_its_folder_are_wanted(tmp_path: Path) -> None:
    labels = pc.label(PEOPLE, judges="scripted:random", out=tmp_path / "labels")
    [whole, from_folder, from_rows, from_a_table] = [
        pc.estimate(rows) for rows in (labels, labels.path, list(labels), labels.to_pandas())
    ]
    assert whole.comparisons == from_rows.comparisons == 24
    assert whole == from_folder == from_rows == from_a_table
    assert pc.label(labels, judges="scripted:first").counts.preferences == 24
    assert pc.audit(labels.path, judges="scripted:first")["scripted:first"].rows == 24
    temporary = pc.label(PAIRS[:2], judges="scripted:random")
    assert pc.label(temporary, judges="scripted:first").counts.preferences == 2


def test_evaluations_are_compared_by_their_results(tmp_path: Path) -> None:
    prompts = ["Why is the sky blue?", "Is a whale a fish?"]
    one, other = (
        pc.evaluate(base=["No.", "Yes."], tuned=["Light.", text], prompts=prompts, judge="scripted:random")
        for text in ("No.", "A mammal.")
    )
    assert len(pc.compare([one, other]).sides) == 2


def test_a_result_that_was_loaded_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labels = pc.label(PAIRS[:2], judges="scripted:random", out="labels")
    assert pc.LabelResult.load(tmp_path / "labels") == labels
    assert pc.LabelResult.load("labels") == labels
    other = pc.label(PAIRS[:2], judges="scripted:random", out="others")
    assert other != labels
    assert len({labels.path, other.path}) == 2


def test_an_evaluation_continues_with_the_same_judge_however_it_is_given(tmp_path: Path) -> None:
    judges = ["scripted:random", pc.JudgeSpec(model="scripted:random", variant="detailed")]
    results = [
        pc.evaluate(base=["No."], tuned=["Light."], prompts=["Why?"], judge=judge, out=tmp_path / "evaluation")
        for judge in judges
    ]
    assert len(results) == 2
    with pytest.raises(pc.UsageError, match="other judges"):
        pc.evaluate(
            base=["No."],
            tuned=["Light."],
            prompts=["Why?"],
            judge=pc.Judge("scripted:random", variant="scored"),
            out=tmp_path / "evaluation",
        )


def test_grading_needs_reference_answers() -> None:
    with pytest.raises(pc.UsageError, match="reference"):
        pc.evaluate(base=["No."], tuned=["Light."], prompts=["Why?"], judge="scripted:random", grade=True)


def test_a_judge_is_in_the_audit_that_measured_it() -> None:
    judge = pc.Judge("scripted:random")
    audit = pc.audit(PEOPLE, judges=judge)
    assert judge in audit
    assert "scripted:random" in audit
    assert pc.Judge("scripted:first") not in audit


def test_results_name_their_reports() -> None:
    audit = pc.audit(PEOPLE, judges=["scripted:random"])
    answers = {"one": ["x"] * 3, "two": ["y"] * 3}
    evaluations = [pc.evaluate(answers, prompts=["1", "2", "3"], judge="scripted:random") for _ in range(2)]
    compared = pc.compare(evaluations)
    assert [side.name for side in compared.sides] == ["result 1", "result 2"]
    for result in (audit, *evaluations, compared):
        assert result.report.is_file()
        assert result.report.suffix == ".html"
