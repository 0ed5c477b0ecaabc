"""preceptor and its peers on two kinds of machine: this one, and one that has neither AVX-512 nor bfloat16.

A selection of the other cases, about 25 minutes on two idle cores: an RL step, labelling, and an epoch on pairs. A
machine with AVX-512 stands in for one without; see `harness.AVX2`. All contestants use the same precision.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import labelling, pairs, rl_step
from benchmarks.harness import AVX2, Kind, Result, compete, this_kind

REPETITIONS = 3
SHAPE = "8 prompts × 4 responses × 32 tokens"
LABELS = labelling.Variant("no exemplars", "detailed", 2, comparisons=40, verdict=0, fewer=2)
PAIRS = 16
QUICK_SHAPE, QUICK_LABELS, QUICK_PAIRS = (2, 4, 8), (4, 1), 4

Row = dict[str, Any]


def run(quick: bool) -> dict[str, Any]:
    """Runs everything on one kind of machine, then on the other."""
    here = this_kind()
    kinds = [here] if here.dtype == AVX2.dtype else [here, AVX2]
    repetitions = 1 if quick else REPETITIONS
    rows: list[Row] = []
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="kinds-") as scratch:
            folder = Path(scratch)
            rows += _rl_step(kind, repetitions, folder, QUICK_SHAPE if quick else rl_step.VARIANTS[SHAPE])
            rows += _labelling(kind, repetitions, folder, QUICK_LABELS if quick else (LABELS.comparisons, LABELS.fewer))
            rows += _pairs(kind, repetitions, folder, QUICK_PAIRS if quick else PAIRS)
    return {
        "title": "Two kinds of machine",
        "setup": _setup([kind.name for kind in kinds], repetitions),
        "rows": rows,
        "headline": _headline(rows),
    }


def _rl_step(kind: Kind, repetitions: int, folder: Path, shape: tuple[int, int, int]) -> list[Row]:
    recipe, prompts = rl_step.quick_start()
    taking_part = rl_step.contestants(recipe, prompts, shape, repetitions, folder, kind)
    results = compete(taking_part, repetitions)
    return [
        {**_row("a step of direct RLAIF", kind, result, results[0]), "parts": rl_step.parts(result)}
        for result in results
    ]


def _labelling(kind: Kind, repetitions: int, folder: Path, counts: tuple[int, int]) -> list[Row]:
    many, few = labelling.portions_of(folder, LABELS, counts)
    results = compete(labelling.in_process(LABELS, many, few, kind), repetitions)
    return [{**labelling.labelled_row(LABELS, result, results[0]), **_of("labelling", kind)} for result in results]


def _pairs(kind: Kind, repetitions: int, folder: Path, count: int) -> list[Row]:
    file, rows = folder / "pairs.jsonl", list[Row]()
    pairs.write_pairs(file, count)
    for words, method in (("an epoch of a reward model", "reward"), ("an epoch of DPO", "dpo")):
        results = compete(pairs.contestants(method, file, kind), repetitions)
        rows += [_row(words, kind, result, results[0]) for result in results]
    return rows


def _row(work: str, kind: Kind, result: Result, own: Result) -> Row:
    return {**result.row(work, own), **_of(work, kind)}


def _of(work: str, kind: Kind) -> Row:
    """The columns that say which work and which kind of machine a row is about."""
    return {"variant": f"{work} ({kind.name})", "work": work, "kind": kind.name, "precision": kind.dtype}


def _headline(rows: Sequence[Row]) -> list[dict[str, str]]:
    """A line for each kind of work on each kind of machine."""
    lines: list[dict[str, str]] = []
    for own in (row for row in rows if row["contestant"] == "preceptor"):
        others = [row for row in rows if row["variant"] == own["variant"] and row is not own]
        against = [
            f"{row['contestant']} takes {_times(row['ratio'])} times as long"
            if row["ratio"]
            else f"{row['contestant']}: failed"
            for row in others
        ]
        rate = own["units_per_second"]
        value = f"{rate:.2g} a second" if rate else "failed"
        lines.append({"figure": own["variant"], "value": value, "against": "; ".join(against)})
    return lines


def _times(ratio: Sequence[float]) -> str:
    median, low, high = (f"{value:.2g}" for value in ratio)
    return f"{median} [{low}-{high}]"


def _setup(kinds: Sequence[str], repetitions: int) -> dict[str, Any]:
    recipe, _ = rl_step.quick_start()
    return {
        "kinds": "; ".join(kinds),
        AVX2.name: "this machine with " + ", ".join(f"{name}={value}" for name, value in AVX2.environment.items()),
        "precision": "the same for preceptor, TRL and the loop",
        "repetitions": f"{repetitions} after a warm-up, in turn",
        "a step of direct RLAIF": f"{SHAPE}; as in the case of that name; responses a second",
        "labelling": f"{LABELS.comparisons} comparisons in both orders without exemplars; the transformers loop "
        f"{LABELS.fewer} of them, and the ratio is that of seconds per label; labels a second",
        "an epoch of a reward model, of DPO": f"{PAIRS} pairs; LoRA of rank {recipe.tuning.rank}; pairs a second",
    }
