"""AlpacaEval: its model outputs as comparisons for `preceptor.label`, and its annotations and leaderboard."""

import csv
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import preceptor as pc
from preceptor.integrations.benchmark_files import check_complete, read_rows, write_json

_COLUMNS = ("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate")


def comparisons(reference: str | Path, outputs: str | Path) -> list[dict[str, Any]]:
    """Rows of comparisons from two files of model outputs, matched by instruction; the reference is response a.

    Raises: UsageError when a file cannot be read, lacks a column, or has other instructions than the reference.
    """
    one, other = _outputs(reference), _outputs(outputs)
    if missing := one.keys() ^ other.keys():
        raise pc.UsageError(f"{len(missing)} instructions are in only one of {reference} and {outputs}")
    return [
        {
            "prompt": instruction,
            "response_a": one[instruction]["output"],
            "response_b": other[instruction]["output"],
            "policy_a": one[instruction]["generator"],
            "policy_b": other[instruction]["generator"],
        }
        for instruction in one
    ]


def write_annotations(labels: pc.LabelResult, folder: str | Path) -> Path:
    """Writes `annotations.json` and `leaderboard.csv` as AlpacaEval lays them out.

    A preference is 1 where the judge is sure of the reference, 2 where it is sure of the model, and between them by its
    probability, as AlpacaEval's weighted annotators give it. The length-controlled win rate is left out.

    Args:
        labels: of rows of `comparisons`.

    Returns: the file of annotations.
    Raises: UsageError when a row has no preference.
    """
    check_complete(labels)
    annotations = [_annotation(row) for row in labels]
    path = write_json(Path(folder) / "annotations.json", annotations)
    entry = _entry([annotation["preference"] for annotation in annotations])
    length = mean(len(annotation["output_2"]) for annotation in annotations)
    with (Path(folder) / "leaderboard.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *_COLUMNS, "mode", "avg_length"])
        writer.writerow(
            [annotations[0]["generator_2"], *(entry[name] for name in _COLUMNS), "community", round(length)]
        )
    return path


def _outputs(path: str | Path) -> dict[str, dict[str, Any]]:
    return {row["instruction"]: row for row in read_rows(path, ("instruction", "output", "generator"))}


def _annotation(row: pc.PreferenceRow) -> dict[str, Any]:
    sides = [(row.chosen, row.chosen_policy), (row.rejected, row.rejected_policy)]
    (a, generator_a), (b, generator_b) = sides if row.chosen_is == "a" else reversed(sides)
    return {
        "instruction": row.prompt[-1].content,
        "output_1": a[-1].content,
        "generator_1": generator_a,
        "output_2": b[-1].content,
        "generator_2": generator_b,
        "annotator": row.judge,
        "preference": 1.0 + (1.0 - row.p_chosen if row.chosen_is == "a" else row.p_chosen),
    }


def _entry(preferences: list[float]) -> dict[str, float]:
    shares = [preference - 1.0 for preference in preferences]
    wins, losses, total = sum(share > 0.5 for share in shares), sum(share < 0.5 for share in shares), len(shares)
    error = 100 * stdev(shares) / total**0.5 if total > 1 else float("nan")
    discrete = 100 * (wins + (total - wins - losses) / 2) / total
    return dict(
        zip(_COLUMNS, (100 * mean(shares), error, wins, losses, total - wins - losses, total, discrete), strict=True)
    )
