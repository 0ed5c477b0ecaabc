"""`preceptor estimate`: what people prefer, from a judge's labels and a few of people's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import options as o
from preceptor.core.numbers import number, points, points_interval

if TYPE_CHECKING:
    from preceptor.display.table import Table
    from preceptor.evaluation.intervals import Estimate
    from preceptor.evaluation.prediction_powered import LabelsForWidth, PredictionPowered
    from preceptor.tasks.estimate import HumanEstimate


@o.with_options(output=o.output)
def estimate(
    judged: Annotated[Path, typer.Argument(help="Labels by `preceptor label`: preferences.jsonl, or its folder.")],
    people: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Some of the comparisons with people's label or ratings, by id.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Estimate for this policy's responses.", show_default="response a"),
    ] = None,
    half_width: Annotated[float, typer.Option(help="Say how many labels an interval of ± this takes.")] = 0.05,
    plan: Annotated[
        int, typer.Option(min=0, metavar="N", help="Write N comparisons for people to label next, drawn at random.")
    ] = 0,
    sample: Annotated[
        str | None,
        typer.Option(metavar="random", help="How people's comparisons were drawn, where the rows do not say it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for estimate.json and for_people.jsonl.")] = None,
    *,
    output: o.Output,
) -> None:
    """Estimate how often people prefer a response, from few labels of people and many of a judge."""
    from preceptor.tasks.estimate import EstimateJob, run_estimate

    result = run_estimate(EstimateJob(judged, people, policy, half_width, plan, out, sample))
    output.show(result, lambda: str(_table(result, out)))


def _table(result: "HumanEstimate", out: Path | None) -> "Table":
    from preceptor.display.table import Column, Table

    found = result.estimates
    return Table(
        (Column("from"), *(Column(name, "right") for name in ("estimate", "95%", "prompts"))),
        [
            ("people alone", *_cells(found.human_only), str(found.n_human)),
            ("people and judge", *_cells(found.prediction_powered), f"{found.n_human} + {found.n_judge}"),
            ("judge alone, biased as it is", *_cells(found.judge_only), str(found.judge_only.n)),
        ],
        title=f"How often people prefer {result.preferred}, in %",
        notes=[*_worth(found), *_plan(result.labels, found.judge_only.n), *_files(result, out)],
    )


def _cells(estimate: "Estimate | None") -> tuple[str, str]:
    if estimate is None:
        return "none", ""
    return points(estimate.value), points_interval(estimate.low, estimate.high)


def _worth(found: "PredictionPowered") -> list[str]:
    from preceptor.evaluation.prediction_powered import LEAST

    if found.n_human < LEAST:
        return [f"{found.n_human} prompts are labelled by people; an interval takes at least {LEAST}: see --plan."]
    if not found.n_judge:
        return ["People labelled every prompt: the judge has nothing to add."]
    agreement = "" if found.correlation is None else f" (correlation with people {number(found.correlation)})"
    if found.effective_labels is None or found.effective_labels <= found.n_human:
        return [f"This judge adds nothing to people's labels{agreement}."]
    worth = f"{found.n_human} labels of people are worth {number(found.effective_labels, 0)} without it"
    return [f"With this judge {worth}{agreement}."]


def _plan(labels: "LabelsForWidth", prompts: int) -> list[str]:
    width = f"For ± {100 * labels.half_width:.3g} points"
    if labels.without_judge is None:
        return []
    if labels.with_judge is None:
        return [f"{width}: {labels.without_judge:,} prompts labelled by people, more than the {prompts:,} there are."]
    both = f"about {labels.with_judge:,} prompts labelled by people with this judge, {labels.without_judge:,} without"
    return [f"{width}: {both}."]


def _files(result: "HumanEstimate", out: Path | None) -> list[str]:
    from preceptor.store.for_people import FILE
    from preceptor.tasks.estimate import ESTIMATE

    lines: list[str] = []
    if result.chosen:
        how = " and ".join(f"{count} {_CHOSEN[name]}" for name, count in result.chosen.items())
        lines.append(f"Comparisons that people labelled: {how}.")
    if (people := result.people) is not None:
        left_out = {
            "malformed": people.malformed,
            "of comparisons not asked about": people.unknown,
            "of other responses": people.other_responses,
            "of comparisons chosen because judges dispute them": people.disputed,
        }
        said = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        lines += [f"Labels left out: {said}."] if said else []
    if result.for_people is not None and out is not None:
        lines.append(f"for people to label: {result.for_people} in {out / FILE}")
    return lines if out is None else [*lines, f"estimate {out / ESTIMATE}"]


_CHOSEN = {"random": "drawn at random", "planned": "drawn with known probabilities"}
