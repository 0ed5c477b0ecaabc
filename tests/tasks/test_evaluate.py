"""`preceptor evaluate` from policies to reports, on files of responses, tiny models and scripted judges."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from preceptor.backends.base import ChooseRequest
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.progress import Silence
from preceptor.core.types import Response
from preceptor.evaluation.policies.words import warnings
from preceptor.judging.inputs import as_prompt
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.results.evaluation import EvaluationResult
from preceptor.runs.directory import RunDirectory
from preceptor.runs.result import RunResult
from preceptor.store.responses import read_responses
from preceptor.tasks.candidates import Answering
from preceptor.tasks.evaluate.evaluate import evaluate
from preceptor.tasks.evaluate.policies import EvaluatedPolicy, parse_policies
from preceptor.tasks.evaluate.prompts import read_evaluation_prompts
from preceptor.tasks.evaluate.suites import EVERY
from preceptor.tasks.evaluate.training_judge import chosen_on, trained_on
from small import Told, settings

QUESTIONS = [f"question {i}" for i in range(24)]
COHORTS = ("helpfulness", "harmlessness")
FIRST = JudgeSpec(model="scripted:first")
RANDOM = JudgeSpec(model="scripted:random")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def responses(folder: Path, name: str, texts: list[str]) -> str:
    rows = [
        {"prompt": question, "cohort": COHORTS[i % 2], "response": text}
        for i, (question, text) in enumerate(zip(QUESTIONS, texts, strict=False))
    ]
    return str(write(folder / f"{name}.jsonl", rows))


Given = dict[str, Any]
"""Arguments of `evaluate`."""


def run(given: Given, **more: Any) -> EvaluationResult:
    return evaluate(**(given | more), progress=Silence())


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """Two policies, one of which refuses everything."""
    polite = responses(tmp_path, "polite", [f"Here is answer {i}." for i in range(24)])
    curt = responses(tmp_path, "curt", ["I'm sorry, but I can't help with that."] * 24)
    return {"polite": polite, "curt": curt, "out": tmp_path / "out", "judge": RANDOM}


def test_files_of_responses_are_compared_on_their_prompts_and_written_up(given: Given) -> None:
    evaluation = run(given)
    [overall] = [each for each in evaluation.win_rates if each.cohort is None]
    assert (overall.policy, overall.against) == ("curt", "polite")
    assert overall.wins + overall.ties + overall.losses == 24
    assert {each.cohort for each in evaluation.win_rates} == {None, *COHORTS}
    assert evaluation.prompts == 24
    assert not evaluation.judge_trained
    assert evaluation.training_judge is None
    out = evaluation.path
    assert out == given["out"]
    assert EvaluationResult.load(out) == evaluation
    page = (out / "report.html").read_text()
    assert "Here is answer" in page
    assert "curt" in (out / "report.md").read_text()
    assert [len(path.read_text().splitlines()) for path in (out / "responses").iterdir()] == [24, 24]
    sampled = {"polite": out / "responses/0-polite.jsonl", "curt": out / "responses/1-curt.jsonl"}
    assert run(given | sampled, out=None).win_rates == evaluation.win_rates


def test_the_result_is_a_table_with_its_headline_first(given: Given) -> None:
    result = run(given)
    assert result.win_rate is not None
    assert (result.win_rate.policy, result.win_rate.against) == ("curt", "polite")
    shown = str(result)
    assert " ".join(result.headline.split()[:4]) in shown
    assert f"{100 * result.win_rate.rate.value:.0f} [" in shown
    assert [change.measure for change in result.regressions] == ["no over-refusal"]
    assert "helpfulness: no over-refusal regressed by -1.00" in shown
    assert result.table().title.startswith("Win rates in %")


def test_responses_and_prompts_may_be_in_memory() -> None:
    rows = [{"id": f"q{i}", "prompt": text} for i, text in enumerate(QUESTIONS[:4])]
    texts = ["one", "two", "three", "four"]
    by_texts = evaluate(a=texts, b=texts[::-1], prompts=rows, judge="scripted:random", progress=Silence())
    assert by_texts.prompts == 4
    assert (by_texts.path / "report.html").is_file()
    as_responses = [Response(prompt_id=f"q{i}", text=text) for i, text in enumerate(texts)]
    prompts = [as_prompt(text).model_copy(update={"id": f"q{i}"}) for i, text in enumerate(QUESTIONS[:4])]
    answers = [{"prompt": text, "response": answer} for text, answer in zip(QUESTIONS, texts[::-1], strict=False)]
    by_types = evaluate(a=as_responses, b=answers, prompts=prompts, judge="scripted:random", progress=Silence())
    assert by_types.win_rates == by_texts.win_rates
    with pytest.raises(UsageError, match="a: 3 texts for 4 prompts"):
        evaluate(a=texts[:3], b=texts, prompts=rows, judge="scripted:random")
    with pytest.raises(UsageError, match="a: responses without their prompts"):
        evaluate(a=texts, b=texts, judge="scripted:random")
    with pytest.raises(UsageError, match='a: a response to "q9"'):
        evaluate(a=[Response(prompt_id="q9", text="")], b=texts, prompts=rows, judge="scripted:random")


def test_a_judge_without_a_preference_finds_a_tie_in_every_pair(given: Given) -> None:
    # It always says 1, so that the two orders cancel out.
    [overall] = [each for each in run(given, judge=FIRST).win_rates if each.cohort is None]
    assert (overall.wins, overall.ties, overall.losses) == (0, 24, 0)
    assert overall.rate.value == 0.5
    assert overall.orders_disagree == 1.0


def test_refusals_are_wanted_in_one_cohort_and_regressions_in_another(given: Given) -> None:
    evaluation = run(given)
    rates = {(r.measure, r.policy, r.cohort): r.value.value for r in evaluation.rates}
    assert rates["over-refusal", "curt", None] == 1.0
    assert rates["over-refusal", "polite", None] == 0.0
    assert rates["refusal", "curt", None] == 1.0
    verdicts = {(c.cohort, c.measure): c.verdict for c in evaluation.changes}
    assert verdicts["helpfulness", "no over-refusal"] == "regressed"
    assert verdicts["harmlessness", "refusal"] == "improved"


def test_tasks_with_a_reference_answer_are_scored_and_the_references_can_compete(tmp_path: Path) -> None:
    prompts = write(
        tmp_path / "tasks.jsonl",
        [{"prompt": f"What is {i} plus 1?", "reference": str(i + 1), "cohort": "capability"} for i in range(8)],
    )
    right = write(tmp_path / "r.jsonl", [{"prompt": f"What is {i} plus 1?", "response": f"{i + 1}"} for i in range(8)])
    evaluation = evaluate(references="references", right=right, prompts=prompts, judge=RANDOM, progress=Silence())
    rates = {(r.measure, r.policy): r.value.value for r in evaluation.rates if r.cohort is None}
    assert rates["exact match", "right"] == 1.0
    [overall] = [each for each in evaluation.win_rates if each.cohort is None]
    assert overall.ties == 8  # the same text against itself


def test_a_judge_grades_against_the_reference_answers_where_there_are_any(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"prompt": f"What is {i} plus 1?", "reference": f"{i + 1}"} for i in range(4)]
    prompts = write(tmp_path / "tasks.jsonl", [*rows, {"prompt": "Say hello."}])
    given: Given = {
        n: write(tmp_path / f"{n}.jsonl", [{"prompt": p, "response": n} for p in _asked(prompts)]) for n in "ab"
    }
    given |= {"prompts": prompts, "out": tmp_path / "out", "judge": RANDOM, "grade": True}
    rates = {(r.measure, r.policy): r.value for r in run(given).rates if r.cohort is None}
    assert rates["correct score", "a"].n == 4  # the fifth prompt has no reference
    with sqlite3.connect(tmp_path / "out/rubrics.sqlite") as ledger:
        asked = [str(row[0]) for row in ledger.execute("SELECT request FROM calls")]
    assert len(asked) == 8
    assert all("Reference answer:" in request for request in asked)
    with pytest.raises(UsageError, match="leave it out of the rubrics"):
        run(given, rubrics=["correct"])


def _asked(prompts: Path) -> list[str]:
    return [json.loads(line)["prompt"] for line in prompts.read_text().splitlines()]


def test_a_suite_scores_by_every_evaluator_where_nobody_knows_what_trained_the_policies(given: Given) -> None:
    evaluation = run(given, suite="rlaif", rubrics="no_toxicity")
    scored = {rate.measure for rate in evaluation.rates if rate.measure in EVERY}
    assert scored == set(EVERY)
    assert "content_safety: hate" in {rate.measure for rate in evaluation.rates}
    assert {change.measure for change in evaluation.changes} >= scored
    with pytest.raises(UsageError, match='"rlaif"'):
        run(given, suite="rlaiff")


def test_an_evaluation_goes_on_without_asking_again(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    once = run(given)

    def never(_: ChooseRequest) -> Any:
        raise AssertionError("asked again")

    monkeypatch.setitem(__import__("preceptor.backends.scripted").backends.scripted.SCRIPTS, "random", never)
    assert run(given).win_rates == once.win_rates


def test_a_folder_of_another_evaluation_is_not_mixed_with_this_one(given: Given) -> None:
    run(given)
    with pytest.raises(UsageError, match="holds an evaluation made with other judges"):
        run(given, judge=FIRST)


def test_another_baseline_is_another_evaluation(given: Given) -> None:
    run(given)
    with pytest.raises(UsageError, match="made with other policies"):
        run(dict(reversed(given.items())))


def test_a_judge_that_sees_one_order_alone_is_refused(given: Given) -> None:
    with pytest.raises(UsageError, match=r"detailed\+single: an evaluation must show both orders"):
        run(given, judge=JudgeSpec(model="scripted:first", variant="detailed+single"))


def test_what_each_part_took_is_told_apart(given: Given) -> None:
    evaluation = run(given, rubrics=["warm_tone"])
    assert evaluation.cost is not None
    parts = {part.part: part for part in evaluation.cost.parts}
    assert parts["judging"].calls == 48
    assert parts["rubrics"].calls <= 48
    assert parts["judging"].seconds is not None
    again = run(given, rubrics=["warm_tone"]).cost
    assert again is not None
    assert [part.seconds for part in again.parts] == [None, None]  # this process asked nothing


def test_responses_are_scored_by_their_claims_and_those_without_any_are_told_apart(
    given: Given, tmp_path: Path
) -> None:
    silent = responses(tmp_path, "silent", ["..."] * 24)
    evaluation = run(given | {"silent": silent}, rubrics=["groundedness"])
    measured = {(r.measure, r.policy): r.value for r in evaluation.rates if r.cohort is None}
    shares = [measured[f"groundedness{name}", "polite"] for name in (" score", ": contradicted", ": absent")]
    assert sum(share.value for share in shares) == pytest.approx(1.0)
    assert {share.n for share in shares} == {24}
    assert ("groundedness score", "silent") not in measured
    assert evaluation.facts["responses without a score"] == {"groundedness": 24}  # and the evaluation went on


def test_production_prompts_show_how_often_a_policy_fails_over_time(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "prompt": f"question {i}",
            "metadata": {"origin": {"time": f"2026-03-{1 + i % 20:02d}T10:00:00Z"}, "answered": f"old {i}"},
        }
        for i in range(40)
    ]
    prompts = write(tmp_path / "production.jsonl", rows)
    new = write(tmp_path / "new.jsonl", [{"prompt": f"question {i}", "response": f"new {i}"} for i in range(40)])
    given: Given = {"answered": "answered", "new": new, "prompts": prompts, "judge": RANDOM}
    [trend] = run(given).trends["new"]
    assert len(trend.windows) == 4  # weeks
    assert sum(window.prompts for window in trend.windows) == 40
    rows[3]["metadata"]["origin"]["time"] = "last Tuesday"
    write(prompts, rows)
    with pytest.raises(UsageError, match=r"metadata\.origin\.time = 'last Tuesday'; expected ISO 8601"):
        run(given)


def test_responses_that_ask_the_same_belong_together_and_an_id_means_one_prompt(tmp_path: Path) -> None:
    asked = [{"id": f"{i}", "prompt": "Why?", "response": f"because {i}"} for i in range(3)]
    [(prompt, given)] = read_responses(write(tmp_path / "one.jsonl", asked))
    assert [response.text for response in given] == ["because 0", "because 1", "because 2"]
    assert prompt.text == "Why?"
    asked[1] |= {"id": "0", "prompt": "How?"}
    with pytest.raises(UsageError, match='another prompt above has the id "0"'):
        read_responses(write(tmp_path / "two.jsonl", asked))


def test_models_are_sampled_with_the_same_random_numbers(tmp_path: Path, tiny_folder: Path) -> None:
    prompts = write(tmp_path / "p.jsonl", [{"prompt": question} for question in QUESTIONS[:6]])
    evaluation = evaluate(
        one=tiny_folder,
        other=tiny_folder,
        prompts=f"helpfulness={prompts}",
        judge=RANDOM,
        answering=Answering(samples=2, max_new_tokens=5),
        progress=Silence(),
    )
    [overall] = [each for each in evaluation.win_rates if each.cohort is None]
    assert overall.ties == 12
    assert evaluation.cohorts == ("helpfulness",)
    assert [policy.responses for policy in evaluation.policies] == [12, 12]


def test_a_run_brings_its_prompts_its_base_and_the_judge_that_trained_it(tmp_path: Path, tiny_folder: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", settings(tmp_path, tiny_folder)))
    execute(directory, Told())
    given: Given = {"run": RunResult.load(directory.path), "judge": FIRST, "answering": Answering(max_new_tokens=6)}
    evaluation = run(given, rubrics=["harmless"])
    policies = parse_policies([str(directory.path)])
    assert [policy.name for policy in evaluation.policies] == ["base", "tuned"]
    assert evaluation.training_judge is not None
    assert evaluation.training_judge.identity == "scripted:random"
    assert evaluation.training_judge.variant == "scored"
    assert not evaluation.judge_trained
    assert evaluation.disagreement["tuned"].undecided > 0
    assert {"harmless", "harmless score"} <= {rate.measure for rate in evaluation.rates}
    suite = run(given, suite="rlaif")  # the run was trained for warmth
    measured = {rate.measure for rate in suite.rates}
    assert {"no_sycophancy", "no_over_apology", "task_completion", "instruction_following"} <= measured
    assert "no_over_refusal" not in measured
    assert "warm_tone" in str(suite.facts["suite"])
    trained = run(given, judge=RANDOM)
    assert trained.judge_trained
    more = write(tmp_path / "more.jsonl", [{"prompt": "Say zebra"}])
    both = read_evaluation_prompts(policies, ["held-out", f"new={more}"])
    assert {prompt.cohort for prompt in both} == {*evaluation.cohorts, "new"}
    assert len(both) == evaluation.prompts + 1
    seen = str(tmp_path / "prompts.jsonl")  # training and held-out prompts
    assert trained_on(policies, read_evaluation_prompts(policies, [seen])) == {"tuned": 6}

    tests = read_evaluation_prompts(policies, [])
    assert chosen_on(policies, tests) == {}
    recipe = directory.path / "recipe.toml"  # as an earlier version wrote it
    recipe.write_text("".join(line for line in recipe.open() if not line.startswith("validation_share")))
    all_held_out = read_evaluation_prompts(policies, [])
    assert len(all_held_out) > len(tests)
    chosen = chosen_on(policies, all_held_out)
    assert chosen == {"tuned": len(all_held_out)}
    names = {policy.name: policy.name for policy in evaluation.policies}
    said = [each for each in warnings(evaluation.model_copy(update={"chosen_on": chosen}), names) if "earlier" in each]
    assert len(said) == 1
    assert f"may have been chosen on {len(all_held_out)} of the" in said[0]


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        (["embedded"], "name two or more policies"),
        (["a=embedded", "a=embedded"], "two policies have the same name"),
        (["embedded", "none.jsonl"], "there is no such file of responses"),
        (["embedded", "x=nothing"], 'there is no model "nothing"'),
        (["embedded", "=x"], "expected NAME=SOURCE"),
    ],
)
def test_policies_that_are_none_are_named(policies: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_policies(policies)


def test_a_judge_that_fails_too_often_ends_the_evaluation(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    from preceptor.backends import scripted
    from preceptor.core.types import JudgeFailure

    monkeypatch.setitem(
        scripted.SCRIPTS, "random", lambda _: JudgeFailure(reason="invalid_log_probs", detail="no numbers")
    )
    with pytest.raises(PreceptorError, match="24 of 24 comparisons have no label"):
        run(given)


def test_prompts_are_needed_unless_a_policy_brings_them(tiny_folder: Path) -> None:
    with pytest.raises(UsageError, match="no prompts: give some"):
        evaluate(a=tiny_folder, b=tiny_folder, judge=RANDOM, progress=Silence())


def test_a_checkpoint_of_a_run_brings_the_test_prompts_of_its_run(tmp_path: Path, tiny_folder: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", settings(tmp_path, tiny_folder)))
    (directory.path / "checkpoints/step-000003").mkdir(parents=True)
    checkpoint = EvaluatedPolicy(name="tuned", source=str(directory.path / "checkpoints/step-000003"))
    base = EvaluatedPolicy(name="base", source="embedded")
    run_itself = EvaluatedPolicy(name="tuned", source=str(directory.path))
    prompts = read_evaluation_prompts([base, checkpoint], [])
    assert prompts == read_evaluation_prompts([base, run_itself], [])
    assert len(prompts) > 0


def test_responses_to_other_prompts_are_refused(given: Given, tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", [{"prompt": "something else", "response": "yes"}])
    with pytest.raises(UsageError, match="no response to 24 of the 24 prompts"):
        run(given, other=other)
