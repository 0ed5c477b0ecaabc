"""`preceptor evaluate` from policies to reports, on files of responses, tiny models and scripted judges."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preceptor.backends.base import ChooseRequest
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.progress import Silence
from preceptor.evaluation.result import Evaluation
from preceptor.evaluation.words import warnings
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.run import execute
from preceptor.recipes.load import load_recipe
from preceptor.runs.directory import RunDirectory
from preceptor.store.responses import read_responses
from preceptor.tasks.candidates import Answering
from preceptor.tasks.evaluate.evaluate import run_evaluation
from preceptor.tasks.evaluate.policies import parse_policies
from preceptor.tasks.evaluate.prompts import read_evaluation_prompts
from preceptor.tasks.evaluate.training_judge import chosen_on, trained_on
from preceptor.tasks.evaluate.work import EvaluationJob
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


def evaluate(job: EvaluationJob) -> Evaluation:
    return run_evaluation(job, None, Silence())


@pytest.fixture
def job(tmp_path: Path) -> EvaluationJob:
    """Two policies, one of which refuses everything."""
    polite = responses(tmp_path, "polite", [f"Here is answer {i}." for i in range(24)])
    curt = responses(tmp_path, "curt", ["I'm sorry, but I can't help with that."] * 24)
    return EvaluationJob(
        policies=parse_policies([f"polite={polite}", f"curt={curt}"]),
        prompts=(),
        out=tmp_path / "out",
        judges=(RANDOM,),
    )


def test_files_of_responses_are_compared_on_their_prompts_and_written_up(job: EvaluationJob) -> None:
    evaluation = evaluate(job)
    [overall] = [each for each in evaluation.win_rates if each.cohort is None]
    assert (overall.policy, overall.against) == ("curt", "polite")
    assert overall.wins + overall.ties + overall.losses == 24
    assert {each.cohort for each in evaluation.win_rates} == {None, *COHORTS}
    assert evaluation.prompts == 24
    assert not evaluation.judge_trained
    assert evaluation.training_judge is None
    assert Evaluation.model_validate_json((job.out / "evaluation.json").read_text()) == evaluation
    page = (job.out / "report.html").read_text()
    assert "Here is answer" in page
    assert "curt" in (job.out / "report.md").read_text()
    assert [len(path.read_text().splitlines()) for path in (job.out / "responses").iterdir()] == [24, 24]
    again = replace(
        job,
        policies=parse_policies(
            [f"polite={job.out}/responses/0-polite.jsonl", f"curt={job.out}/responses/1-curt.jsonl"]
        ),
        out=job.out.with_name("again"),
    )
    assert evaluate(again).win_rates == evaluation.win_rates


def test_a_judge_without_a_preference_finds_a_tie_in_every_pair(job: EvaluationJob) -> None:
    # It always says 1, so that the two orders cancel out.
    [overall] = [each for each in evaluate(replace(job, judges=(FIRST,))).win_rates if each.cohort is None]
    assert (overall.wins, overall.ties, overall.losses) == (0, 24, 0)
    assert overall.rate.value == 0.5
    assert overall.orders_disagree == 1.0


def test_refusals_are_wanted_in_one_cohort_and_regressions_in_another(job: EvaluationJob) -> None:
    evaluation = evaluate(job)
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
    evaluation = evaluate(
        EvaluationJob(
            policies=parse_policies(["references", f"right={right}"]),
            prompts=(str(prompts),),
            out=tmp_path / "out",
            judges=(RANDOM,),
        )
    )
    rates = {(r.measure, r.policy): r.value.value for r in evaluation.rates if r.cohort is None}
    assert rates["exact match", "right"] == 1.0
    [overall] = [each for each in evaluation.win_rates if each.cohort is None]
    assert overall.ties == 8  # the same text against itself


def test_a_judge_grades_against_the_reference_answers_where_there_are_any(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"prompt": f"What is {i} plus 1?", "reference": f"{i + 1}"} for i in range(4)]
    prompts = write(tmp_path / "tasks.jsonl", [*rows, {"prompt": "Say hello."}])
    given = [write(tmp_path / f"{n}.jsonl", [{"prompt": p, "response": n} for p in _asked(prompts)]) for n in "ab"]
    job = EvaluationJob(
        policies=parse_policies([str(path) for path in given]),
        prompts=(str(prompts),),
        out=tmp_path / "out",
        judges=(RANDOM,),
        grade=True,
    )
    rates = {(r.measure, r.policy): r.value for r in evaluate(job).rates if r.cohort is None}
    assert rates["correct score", "a"].n == 4  # the fifth prompt has no reference
    with sqlite3.connect(tmp_path / "out/rubrics.sqlite") as ledger:
        asked = [str(row[0]) for row in ledger.execute("SELECT request FROM calls")]
    assert len(asked) == 8
    assert all("Reference answer:" in request for request in asked)
    with pytest.raises(UsageError, match="leave out --rubric correct"):
        evaluate(replace(job, rubrics=("correct",)))


def _asked(prompts: Path) -> list[str]:
    return [json.loads(line)["prompt"] for line in prompts.read_text().splitlines()]


def test_an_evaluation_goes_on_without_asking_again(job: EvaluationJob, monkeypatch: pytest.MonkeyPatch) -> None:
    once = evaluate(job)

    def never(_: ChooseRequest) -> Any:
        raise AssertionError("asked again")

    monkeypatch.setitem(__import__("preceptor.backends.scripted").backends.scripted.SCRIPTS, "random", never)
    assert evaluate(job).win_rates == once.win_rates


def test_a_folder_of_another_evaluation_is_not_mixed_with_this_one(job: EvaluationJob) -> None:
    evaluate(job)
    with pytest.raises(UsageError, match="holds an evaluation made with other judges"):
        evaluate(replace(job, judges=(FIRST,)))


def test_another_baseline_is_another_evaluation(job: EvaluationJob) -> None:
    evaluate(job)
    with pytest.raises(UsageError, match="made with other policies"):
        evaluate(replace(job, policies=job.policies[::-1]))


def test_a_judge_that_sees_one_order_alone_is_refused(job: EvaluationJob) -> None:
    with pytest.raises(UsageError, match=r"detailed\+single: an evaluation shows both orders"):
        evaluate(replace(job, judges=(JudgeSpec(model="scripted:first", variant="detailed+single"),)))


def test_what_each_part_took_is_told_apart(job: EvaluationJob) -> None:
    evaluation = evaluate(replace(job, rubrics=("warm_tone",)))
    assert evaluation.cost is not None
    parts = {part.part: part for part in evaluation.cost.parts}
    assert parts["judging"].calls == 48
    assert parts["rubrics"].calls <= 48
    assert parts["judging"].seconds is not None
    again = evaluate(replace(job, rubrics=("warm_tone",))).cost
    assert again is not None
    assert [part.seconds for part in again.parts] == [None, None]  # this process asked nothing


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
    job = EvaluationJob(
        policies=parse_policies(["answered", f"new={new}"]),
        prompts=(str(prompts),),
        out=tmp_path / "out",
        judges=(RANDOM,),
    )
    [trend] = evaluate(job).trends["new"]
    assert len(trend.windows) == 4  # weeks
    assert sum(window.prompts for window in trend.windows) == 40
    rows[3]["metadata"]["origin"]["time"] = "last Tuesday"
    write(prompts, rows)
    with pytest.raises(UsageError, match=r"metadata\.origin\.time = 'last Tuesday'; expected ISO 8601"):
        evaluate(replace(job, out=tmp_path / "other"))


def test_responses_that_ask_the_same_belong_together_and_an_id_means_one_prompt(tmp_path: Path) -> None:
    asked = [{"id": f"{i}", "prompt": "Why?", "response": f"because {i}"} for i in range(3)]
    [(prompt, given)] = read_responses(write(tmp_path / "one.jsonl", asked))
    assert [response.text for response in given] == ["because 0", "because 1", "because 2"]
    assert prompt.text == "Why?"
    asked[1] |= {"id": "0", "prompt": "How?"}
    with pytest.raises(UsageError, match='the id "0" is that of another prompt above'):
        read_responses(write(tmp_path / "two.jsonl", asked))


def test_models_are_sampled_with_the_same_random_numbers(tmp_path: Path, tiny_folder: Path) -> None:
    prompts = write(tmp_path / "p.jsonl", [{"prompt": question} for question in QUESTIONS[:6]])
    evaluation = evaluate(
        EvaluationJob(
            policies=parse_policies([f"one={tiny_folder}", f"other={tiny_folder}"]),
            prompts=(f"helpfulness={prompts}",),
            out=tmp_path / "out",
            judges=(RANDOM,),
            answering=Answering(samples=2, max_new_tokens=5),
        )
    )
    [overall] = [each for each in evaluation.win_rates if each.cohort is None]
    assert overall.ties == 12
    assert evaluation.cohorts == ("helpfulness",)
    assert [policy.responses for policy in evaluation.policies] == [12, 12]


def test_a_run_brings_its_prompts_its_base_and_the_judge_that_trained_it(tmp_path: Path, tiny_folder: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", settings(tmp_path, tiny_folder)))
    execute(directory, Told())
    job = EvaluationJob(
        policies=parse_policies([str(directory.path)]),
        prompts=(),
        out=tmp_path / "out",
        judges=(FIRST,),
        answering=Answering(max_new_tokens=6),
        rubrics=("harmless",),
    )
    evaluation = evaluate(job)
    assert [policy.name for policy in evaluation.policies] == ["base", "tuned"]
    assert evaluation.training_judge is not None
    assert evaluation.training_judge.identity == "scripted:random"
    assert evaluation.training_judge.variant == "scored"
    assert not evaluation.judge_trained
    assert evaluation.disagreement["tuned"].undecided > 0
    assert {"harmless", "harmless score"} <= {rate.measure for rate in evaluation.rates}
    trained = evaluate(replace(job, judges=(RANDOM,), out=tmp_path / "by-the-trainer", rubrics=()))
    assert trained.judge_trained
    more = write(tmp_path / "more.jsonl", [{"prompt": "Say zebra"}])
    both = read_evaluation_prompts(job.policies, ["held-out", f"new={more}"])
    assert {prompt.cohort for prompt in both} == {*evaluation.cohorts, "new"}
    assert len(both) == evaluation.prompts + 1
    seen = str(tmp_path / "prompts.jsonl")  # training and held-out prompts
    assert trained_on(job.policies, read_evaluation_prompts(job.policies, [seen])) == {"tuned": 6}

    tests = read_evaluation_prompts(job.policies, [])
    assert chosen_on(job.policies, tests) == {}
    recipe = directory.path / "recipe.toml"  # as an earlier version wrote it
    recipe.write_text("".join(line for line in recipe.open() if not line.startswith("validation_share")))
    all_held_out = read_evaluation_prompts(job.policies, [])
    assert len(all_held_out) > len(tests)
    chosen = chosen_on(job.policies, all_held_out)
    assert chosen == {"tuned": len(all_held_out)}
    names = {policy.name: policy.name for policy in evaluation.policies}
    said = [each for each in warnings(evaluation.model_copy(update={"chosen_on": chosen}), names) if "earlier" in each]
    assert len(said) == 1
    assert f"may have been chosen on {len(all_held_out)} of the" in said[0]


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        (["embedded"], "name two policies or more"),
        (["a=embedded", "a=embedded"], "two policies have the same name"),
        (["embedded", "none.jsonl"], "there is no such file of responses"),
        (["embedded", "x=nothing"], 'there is no model "nothing"'),
        (["embedded", "=x"], "expected NAME=SOURCE"),
    ],
)
def test_policies_that_are_none_are_named(policies: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_policies(policies)


def test_a_judge_that_fails_too_often_ends_the_evaluation(job: EvaluationJob, monkeypatch: pytest.MonkeyPatch) -> None:
    from preceptor.backends import scripted
    from preceptor.core.types import JudgeFailure

    monkeypatch.setitem(
        scripted.SCRIPTS, "random", lambda _: JudgeFailure(reason="invalid_log_probs", detail="no numbers")
    )
    with pytest.raises(PreceptorError, match="the judge failed on 24 of 24"):
        evaluate(job)


def test_prompts_are_needed_unless_a_policy_brings_them(tmp_path: Path, tiny_folder: Path) -> None:
    policies = parse_policies([f"a={tiny_folder}", f"b={tiny_folder}"])
    with pytest.raises(UsageError, match="no prompts: give --prompts FILE"):
        evaluate(EvaluationJob(policies=policies, prompts=(), out=tmp_path / "out", judges=(RANDOM,)))


def test_responses_to_other_prompts_are_refused(job: EvaluationJob, tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", [{"prompt": "something else", "response": "yes"}])
    policies = (*job.policies[:1], *parse_policies(["x=references", f"other={other}"])[1:])
    with pytest.raises(UsageError, match="no response to 24 of the 24 prompts"):
        evaluate(replace(job, policies=policies))
