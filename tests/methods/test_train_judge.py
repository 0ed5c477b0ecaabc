"""Training a judge: what it learns, what it never sees, and that it is measured before and after."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.judging.ask import taught_answer
from preceptor.judging.constitution import load_constitution
from preceptor.judging.inputs import comparison
from preceptor.judging.judge_spec import JudgeSpec
from preceptor.judging.learnt import learnt_by
from preceptor.judging.lessons import Lesson, demonstrations_of
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import variant
from preceptor.judging.verdict_reward import agrees
from preceptor.methods.execute import execute
from preceptor.methods.train_judge import HELD_OUT, QUESTIONS, train_judge
from preceptor.recipes.load import load_recipe
from preceptor.results.trained_judge import TrainedJudgeResult
from preceptor.runs.directory import RunDirectory
from preceptor.store.ledger import IN_MEMORY, Ledger
from preceptor.tasks.audit import audit
from small import RL, known, shared

CONSTITUTION = """
name = "kind"
version = "1"
summary = "Be kind."
principles = ["Be kind."]
instruction = "Compare."
"""
ROWS: list[dict[str, Any]] = [
    {
        "prompt": f"q{i}",
        "response_a": "yes" if i % 2 else "no",
        "response_b": "no" if i % 2 else "yes",
        "label": "a" if i % 2 else "b",
    }
    for i in range(24)
]
SFT = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-2, "max_length": 512}


@pytest.fixture
def spec(tmp_path: Path, tiny_folder: Path) -> JudgeSpec:
    path = tmp_path / "kind.toml"
    path.write_text(CONSTITUTION)
    return JudgeSpec(model=str(tiny_folder), constitution=str(path), variant="detailed")


def test_a_judge_learns_both_orders_and_is_measured_on_prompts_that_it_never_saw(
    tmp_path: Path, spec: JudgeSpec
) -> None:
    out = tmp_path / "judge"
    given: dict[str, Any] = {"judge": spec, "out": out, "sft": SFT, "labels_licence": "CC-BY", "progress": Silence()}
    result = train_judge(ROWS, **given)
    held_out = [json.loads(line) for line in (out / HELD_OUT).read_text().splitlines()]
    assert result.lessons + len(held_out) == 24
    assert result.held_out_rows == len(held_out) > 0
    assert known(result.before).alignment is not None
    assert known(result.after).alignment is not None
    assert known(result.last_loss) < known(result.first_loss)
    assert result.teachers == ("people",)
    card = (result.model / "README.md").read_text()
    assert "CC-BY" in card
    assert "in both orders" in card
    assert TrainedJudgeResult.load(out) == result
    again = train_judge(ROWS, **given)
    assert again.model_copy(update={"seconds": result.seconds}) == result


def test_an_audit_on_prompts_that_a_judge_learnt_recommends_and_licenses_it_in_no_case(
    tmp_path: Path, spec: JudgeSpec
) -> None:
    out = tmp_path / "judge"
    result = train_judge(ROWS, judge=spec, out=out, sft=SFT, progress=Silence())
    trained = spec.model_copy(update={"model": str(result.model)})
    fresh = audit(out / HELD_OUT, judges=trained, progress=Silence()).judges[0]
    assert fresh.learnt_rows == 0
    assert fresh.unfit != "learnt"
    found = audit(ROWS, judges=[spec, trained], progress=Silence())
    assert [judge.learnt_rows for judge in found.judges] == [0, result.lessons]
    assert found.judges[1].unfit == "learnt"
    assert "memory" in str(found)
    licence = tmp_path / "judge.licence.toml"
    with pytest.raises(UsageError, match=f"{result.lessons} of these rows"):
        audit(ROWS, judges=trained, licence=licence, progress=Silence())
    assert not licence.exists()
    # What goes on from it remembers, too.
    others = [row | {"prompt": f"other {row['prompt']}"} for row in ROWS]
    again = train_judge(others, judge=trained, out=tmp_path / "again", sft=SFT, progress=Silence())
    kept = learnt_by(str(again.model))
    assert len(kept) == result.lessons + again.lessons
    assert kept > learnt_by(str(result.model))


def test_a_judge_is_distilled_from_the_rationales_that_came_to_the_label(tmp_path: Path, spec: JudgeSpec) -> None:
    reasoned = spec.model_copy(update={"variant": "detailed+cot"})
    with pytest.raises(UsageError, match="no row has rationales"):
        train_judge(ROWS, judge=reasoned, sft=SFT, progress=Silence())
    with pytest.raises(UsageError, match="rationale_tries = 2"):
        train_judge(ROWS, judge=spec, rationale_tries=2, progress=Silence())
    rows = [_labelled(i, wrong=i % 4 == 0) for i in range(24)]
    path = tmp_path / "preferences.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    test = [row | {"prompt": f"other {i}"} for i, row in enumerate(ROWS[:6])]
    result = train_judge(path, judge=reasoned, test=test, out=tmp_path / "judge", sft=SFT, progress=Silence())
    assert result.lessons == 18  # in a quarter of the rows, a rationale of one order came to the other verdict
    assert result.left_out["no rationale that came to the label in both orders"] == 6
    assert result.teachers == ("larger",)
    assert result.held_out_rows == 6
    assert "learnt 18 comparisons" in (result.model / "README.md").read_text()
    own = train_judge(path, judge=reasoned, test=test, rationale_tries=2, sft=SFT | {"epochs": 1}, progress=Silence())
    sought = known(own.own_rationales)
    assert sought.lacking == 6
    assert own.lessons == 18 + sought.found
    assert sum(sought.tries) + sought.without == 6  # the other order of each has a rationale
    assert own.teachers == ("larger",)
    path.write_text(json.dumps(rows[0] | {"verdicts": [{"order": "ba"}]}) + "\n")
    with pytest.raises(UsageError, match=str(path)):
        train_judge(path, judge=reasoned, test=test, sft=SFT, progress=Silence())


def test_the_card_says_who_taught_the_judge_and_only_people_measure_it(tmp_path: Path, spec: JudgeSpec) -> None:
    rows = [_made(i) for i in range(12)]
    given: dict[str, Any] = {"judge": spec, "sft": SFT | {"epochs": 1}, "progress": Silence()}
    revised = train_judge([row | {"origin": "critique and revision", "model": "m*x*"} for row in rows], **given)
    assert revised.teachers == ("a model (critique and revision: m*x*)",)
    assert revised.held_out_rows == 0
    assert revised.lessons + sum(revised.left_out.values()) == 12
    card = (revised.model / "README.md").read_text()
    assert "`a model (critique and revision: m*x*)`" in card
    assert "people" not in card
    mixed = [*rows, ROWS[0], ROWS[1] | {"label": "tie"}, *(row | {"judge": "larger"} for row in rows[:3])]
    assert train_judge(mixed, test=ROWS[8:10], **given).teachers == ("people", "larger", "not recorded")


def _made(i: int) -> dict[str, Any]:
    """A pair that preceptor wrote, which names neither a judge nor its origin."""
    sides = {"chosen": f"yes {i}", "rejected": f"no {i}"}
    return {"prompt": f"q{i % 8}"} | sides | {"p_chosen": 0.9, "constitution_hash": "0" * 16}


def _labelled(i: int, *, wrong: bool) -> dict[str, Any]:
    """A row as `label` writes it: both orders with rationales, of which one may disagree with the label."""
    verdicts = [
        {"order": order, "p_a": 0.9 if order == "ab" or not wrong else 0.2, "rationale": f"because {order} {i}"}
        for order in ("ab", "ba")
    ]
    message = {"role": "user", "content": f"q{i}"}
    return {
        "id": f"r{i}",
        "prompt_id": f"p{i}",
        "prompt": [message],
        "chosen": [{"role": "assistant", "content": f"yes {i}"}],
        "rejected": [{"role": "assistant", "content": f"no {i}"}],
        "chosen_is": "a",
        "p_chosen": 0.8,
        "judge": "larger",
        "constitution": "kind 1",
        "constitution_hash": "0" * 16,
        "verdicts": verdicts,
    }


def test_the_answer_to_learn_is_the_one_that_will_be_asked_for(spec: JudgeSpec, tiny: Any) -> None:
    lesson = Lesson(comparison("q", "yes", "no"), "a")
    with Ledger(IN_MEMORY) as ledger:
        judge = PairwiseJudge(tiny, load_constitution(spec.constitution), variant("detailed"), ledger)
        first, second = demonstrations_of(judge, [lesson], None)
        assert (first.answer, second.answer) == ("Preferred response: 1", "Preferred response: 2")
        shown = [demonstration.prompt.text for demonstration in (first, second)]
        assert [text.index("yes") < text.index("no") for text in shown] == [True, False]
        [question] = judge.questions(lesson.comparison)[:1]
        asked, answer = taught_answer(tiny, question, "1", "It says yes.")
        assert answer == "It says yes.\n\nPreferred response: 1"
        assert asked[-1].content == f"{question.text}\n\n{question.reason}"


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"variant": "scored"}, "detailed"), ({"variant": "detailed+8-shot"}, "exemplars")],
)
def test_judges_that_cannot_be_trained_are_refused(spec: JudgeSpec, settings: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        train_judge(ROWS, judge=spec.model_copy(update=settings), progress=Silence())


def test_a_judge_goes_on_learning_by_right_and_wrong_verdicts(tmp_path: Path, spec: JudgeSpec) -> None:
    result = train_judge(ROWS[:12], judge=spec, out=tmp_path / "judge", sft=SFT, progress=Silence())
    questions = tmp_path / "judge" / QUESTIONS
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    assert len(rows) == 2 * result.lessons
    assert [row["reference"] for row in rows[:2]] in (["1", "2"], ["2", "1"])
    texts = ("So. Preferred response: 1", "**Preferred response:** 2", "?")
    said = [[{"role": "assistant", "content": text}] for text in texts]
    assert agrees(said, ["1", "1", "1"], [["1", "2"]] * 3) == [1.0, 0.0, 0.0]
    assert agrees(said[:1], [None], [["1", "2"]]) == [None]
    assert {row["metadata"]["together"] for row in rows[:2]} == {rows[0]["id"].removesuffix("-ab")}
    overrides = [*shared(tmp_path, result.model), *RL, f"prompts={questions}", "licence.waived=false"]
    overrides += ["rl.steps=1", "rewards.feedback_weight=0", "judge.model=scripted:random"]
    functions = json.dumps([f"preceptor.judging.verdict_reward:{name}" for name in ("agrees", "consistent")])
    recipe = load_recipe("direct_rlaif", [*overrides, f"rewards.functions={functions}"])
    summary = execute(RunDirectory.create(tmp_path / "run", recipe), Silence())
    assert summary.steps == 1
    assert summary.licence is None  # the judge is not asked


def test_test_rows_keep_who_rated_and_answered_and_their_prompts_are_counted_as_left_out(
    tmp_path: Path, spec: JudgeSpec
) -> None:
    about = {"ratings": ["a", "b", "a"], "raters": ["x", "y", "z"], "category": "kind", "policy_a": "m"}
    test = [{**{key: row[key] for key in ("prompt", "response_a", "response_b")}, **about} for row in ROWS[:10]]
    result = train_judge(ROWS, judge=spec, test=test, out=tmp_path / "judge", sft=SFT, progress=Silence())
    assert result.left_out == {"its prompt is among the test rows": 10}
    assert result.lessons == 14
    [first, *_] = map(json.loads, (tmp_path / "judge" / HELD_OUT).read_text().splitlines())
    assert {key: first[key] for key in about} == about


def test_a_tie_teaches_nothing(spec: JudgeSpec) -> None:
    ties = [row | {"label": "tie"} for row in ROWS]
    with pytest.raises(UsageError, match="nothing to learn"):
        train_judge(ties, judge=spec, progress=Silence())
