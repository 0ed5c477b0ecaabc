"""Writing the report of a run."""

from collections.abc import Iterator
from dataclasses import replace

from preceptor.evaluation.policies.result import Evaluation
from preceptor.recipes.base import Recipe
from preceptor.reports.run.page import render_report, render_run_markdown
from preceptor.reports.run.rounds import rounds_in_words
from preceptor.reports.run.words import Words, how_the_model_was_chosen, results_of_stages
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import write_json, write_text


def words_of(recipe: Recipe, summary: RunSummary) -> Words:
    """A finished run in sentences, for its report and its model card."""
    described = (*recipe.describe(summary), *_corrected(summary), *_thoughts(recipe, summary))
    done = (*_beginning(recipe), *described, *_ending(recipe, summary))
    return Words(done, {**recipe.results(summary), **results_of_stages(summary)})


def write_report(directory: RunDirectory, summary: RunSummary, evaluation: Evaluation) -> None:
    """Writes `evaluation.json`, `report.html` and `report.md`."""
    words = words_of(directory.recipe, summary)
    data = replace(directory.report_data(summary), evaluation=evaluation, words=words)
    write_json(directory.path / "evaluation.json", evaluation.model_dump(mode="json"))
    write_text(directory.report, render_report(data))
    write_text(directory.report.with_suffix(".md"), render_run_markdown(data))


def _beginning(recipe: Recipe) -> Iterator[str]:
    if recipe.sft_first is not None:
        yield "The policy was first fine-tuned on demonstrations; the fine-tuned model is the reference below."


def _corrected(summary: RunSummary) -> Iterator[str]:
    if summary.bias_correction is not None:
        yield "What people's labels show the judge to prefer in excess of people was taken off its log-odds."


def _thoughts(recipe: Recipe, summary: RunSummary) -> Iterator[str]:
    """What there is to say of a policy that thinks."""
    thinking, after = recipe.thinking, summary.evaluation.after
    if thinking is None:
        return
    if not thinking.on:
        yield "The policy was kept from thinking before it answers."
        return
    seen = "the source of rewards saw it too" if thinking.judge_sees_thought else "no judge saw it"
    got = "had no reward" if thinking.penalty is None else f"got the reward {thinking.penalty:g}"
    yield (
        f"The policy thought before each answer, for at most {thinking.tokens} tokens; {seen}. In training, a thought "
        f"that did not end {got}."
    )
    if after.unfinished_thoughts is not None:
        yield (
            f"After training, {after.unfinished_thoughts} thoughts on test prompts did not end; they were measured as "
            "empty answers."
        )


def _ending(recipe: Recipe, summary: RunSummary) -> Iterator[str]:
    if summary.rounds is not None:
        yield from rounds_in_words(summary, summary.rounds)
        return
    if recipe.chooses_checkpoint:
        yield from how_the_model_was_chosen(summary)
    else:
        yield f"The model after all {summary.steps} updates was kept."
