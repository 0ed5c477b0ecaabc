"""How close judging, sampling and learning come to the machine's limits."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import Contestant, Result, compete

REPETITIONS = 7
COMPARISONS = 32
"""The number of comparisons, judged in both orders."""


def run(quick: bool) -> dict[str, Any]:
    """Measures the machine and the work alternately, in one process."""
    settings = {"comparisons": 4 if quick else COMPARISONS}
    contestant = Contestant("preceptor", "benchmarks.workers.roofline", settings)
    result = compete([contestant], 2 if quick else REPETITIONS)[0]
    return {
        "title": "Roofline: how near the work comes to what the machine can do",
        "setup": _setup(result, 2 * settings["comparisons"]),
        "rows": _rows(result),
        "tables": [_fractions(result), _machine(result)] if result.repetitions else [],
        "headline": _headline(result),
    }


def _setup(result: Result, showings: int) -> dict[str, str]:
    sizes = {name: count / 1e6 for name, count in result.repetitions[0]["sizes"].items()} if result.repetitions else {}
    return {
        "model": "embedded, in its default precision",
        "parameters": " and ".join(f"{count:.1f} M of the {name}" for name, count in sizes.items()),
        "matrix products": "those of the linear layers, weighted by their FLOP, one block's weights in the cache; by "
        "all threads together or on each core by itself, whichever is faster",
        "judge prefill": f"{showings} showings without exemplars; 2 FLOP for each parameter of the blocks and token "
        "computed, padding included; logits count as nothing",
        "decode": "8 prompts × 4 responses × 32 tokens; a step against the slower of two bounds: reading all weights "
        "once, and 2 FLOP for each of them and row at the rate of products of 32 rows",
        "RL update": "log-probabilities and gradient, 8 prompts × 4 responses × 32 tokens, LoRA of rank 16; 4 FLOP for "
        "each parameter of the blocks and token, and of the head and response token; adapters count as nothing",
        "with attention": "its products counted too: 4 FLOP for each block, number of a query, token and token that it "
        "sees, three times as many with the gradient (the model FLOP of Chowdhery et al. 2022)",
        "fraction": "in each repetition, of the machine's rate just before and just after",
    }


def _rows(result: Result) -> list[dict[str, Any]]:
    names = list(result.repetitions[0]["works"]) if result.repetitions else ["all"]
    rows: list[dict[str, Any]] = []
    for name in names:
        works = tuple(r["works"][name] for r in result.repetitions)
        work = Result(result.name, works, result.failed)
        fractions = [row["fraction"] for row in works]
        rows.append({**work.row(name, work), "fraction": _spread(fractions)})
    return rows


def _fractions(result: Result) -> dict[str, Any]:
    """Each kind of work beside its bound."""
    works: dict[str, Sequence[Mapping[str, float]]] = {
        name: [r["works"][name] for r in result.repetitions] for name in result.repetitions[0]["works"]
    }
    rows: list[list[str]] = []
    for name, measured in works.items():
        if name == "decode":
            step, arithmetic, traffic = (
                _shown([1e3 * work[key] for work in measured]) for key in ("step", "by arithmetic", "by traffic")
            )
            reached, bound = f"{step} ms a step", f"{arithmetic} ms by arithmetic, {traffic} ms by traffic"
            counted = ""
        else:
            reached = f"{_shown([work['flop'] / work['seconds'] / 1e9 for work in measured])} GFLOP/s"
            bound = "products of 2048 rows"
            counted = percent(_spread([work["with attention"] for work in measured]))
        rows.append([name, reached, bound, percent(_spread([work["fraction"] for work in measured])), counted])
    columns = ["work", "reached", "bound", "fraction", "with attention"]
    return {"title": "Of what the machine can do", "columns": columns, "rows": rows}


def _machine(result: Result) -> dict[str, Any]:
    rows = [
        [name, f"{_shown([r[kind][name] / 1e9 for r in result.repetitions])} {unit}"]
        for kind, unit in (("rates", "GFLOP/s"), ("bandwidth", "GB/s"))
        for name in result.repetitions[0][kind]
    ]
    return {"title": "The machine", "columns": ["measured", "median [lowest-highest]"], "rows": rows}


def _headline(result: Result) -> list[dict[str, str]]:
    figures = {
        "judge prefill": ("judge prefill", "the machine's rate of matrix products"),
        "decode": ("decoding, batch of 32", "the slower of arithmetic and memory traffic"),
        "RL update": ("RL update", "the machine's rate of matrix products"),
    }
    fractions = {name: [r["works"][name]["fraction"] for r in result.repetitions] for name in figures}
    return [
        {"figure": figure, "value": percent(_spread(fractions[name])), "against": f"of {bound}"}
        for name, (figure, bound) in figures.items()
        if fractions[name]
    ]


def percent(spread: Sequence[float]) -> str:
    """Median, lowest and highest in percent."""
    middle, low, high = (round(100 * value) for value in spread)
    return f"{middle} % [{low}-{high}]"


def _spread(values: Sequence[float]) -> list[float]:
    return [statistics.median(values), min(values), max(values)] if values else []


def _shown(values: Sequence[float]) -> str:
    middle, low, high = (f"{value:.3g}" for value in _spread(values))
    return f"{middle} [{low}-{high}]"
