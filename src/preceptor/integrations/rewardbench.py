"""RewardBench (version 1): its comparisons with known answers, for `preceptor.audit` and `preceptor.label`, and its
files of results.
"""

from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import preceptor as pc
from preceptor.integrations.benchmark_files import check_complete, write_json


def comparisons(path: str | Path) -> list[dict[str, Any]]:
    """Rows of comparisons from a file of RewardBench, JSON lines or Parquet; the answer is known, the subset is the
    category.

    Raises: UsageError when the file cannot be read, or a row lacks a column.
    """
    return pc.read_benchmark(path, "rewardbench")


def write_results(labels: pc.LabelResult, folder: str | Path, model: str) -> Path:
    """Writes RewardBench's two files of results: the accuracy of each subset, and each row's result.

    A row's result is 1 where the judge prefers the chosen response, 0 where it prefers the other, and 0.5 where it
    prefers neither.

    Args:
        labels: of rows of `comparisons`.
        folder: where `eval-set/MODEL.json` and `eval-set-scores/MODEL.json` are written.
        model: the judge's name in RewardBench, such as ORG/NAME.

    Returns: the file of accuracies.
    Raises: UsageError when a row has no preference, or no known answer.
    """
    check_complete(labels)
    rows = list(labels)
    results = [_result(row) for row in rows]
    by_subset: dict[str, list[float]] = defaultdict(list)
    for row, result in zip(rows, results, strict=True):
        by_subset[row.category or ""].append(result)
    about = {"model": model, "model_type": "Generative"}
    write_json(
        Path(folder) / "eval-set-scores" / f"{model}.json",
        {**about, "id": [row.id for row in rows], "subset": [row.category for row in rows], "results": results},
    )
    accuracies = {subset: mean(of) for subset, of in sorted(by_subset.items())}
    return write_json(Path(folder) / "eval-set" / f"{model}.json", {**about, "chat_template": None, **accuracies})


def _result(row: pc.PreferenceRow) -> float:
    if row.human_p_chosen is None:
        raise pc.UsageError(f"row {row.id} has no known answer; label the rows that `comparisons` gives")
    return 0.5 if row.p_chosen == 0.5 else row.human_p_chosen
