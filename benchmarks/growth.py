"""The time and memory that preceptor adds to the model's, and how they grow: labelling with an instant model."""

import math
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import Contestant, Result, compete

SIZES = {100: 5, 1_000: 5, 10_000: 3, 100_000: 1}
"""Numbers of comparisons, and how often each is labelled."""
REPETITIONS = 3
"""Repetitions of everything else."""
RESPONSES = (2, 4, 8, 16)
PROMPT_TOKENS = (100, 400, 1_600, 4_000)
AT_ONCE = (1, 8, 64)
"""Answers that arrive, and are recorded in the ledger, together: 1 from a server, dozens from the local model."""
COMPARISONS = 960
"""The number of comparisons when something else varies: a multiple of the pairs of 2, 4 and 16 responses."""
SAMPLED = 5_000
"""Comparisons of the profiled run."""
LISTED = 25
"""How many places of the profiled run the table lists."""
PLAIN = {"responses": 2, "prompt_tokens": 100, "at_once": 8, "sampled": False}

PARTS = {
    "(COMMIT)": "ledger: waiting for the disk",
    "(fsync)": "other files: waiting for the disk",
    "(JSON)": "JSON, read and written",
    "(pydantic)": "validation and copies of types",
    "(copies)": "validation and copies of types",
    "(pyarrow)": "Parquet",
    "(pandas)": "Parquet",
    "judging/render.py": "rendering",
    "core/hashing.py": "hashing",
    "store/ledger.py": "ledger: SQLite",
    "store/outcomes.py": "outcome files",
    "store/preferences.py": "Parquet",
}
"""The part that a place's time counts towards, by its last word or else its file."""

Series = dict[int, Result]


def run(quick: bool) -> dict[str, Any]:
    """Labels datasets of several sizes and shapes, each in its own process."""
    sizes = {n: 2 for n in SIZES if n <= 1_000} if quick else SIZES
    repetitions, comparisons = (1, 240) if quick else (REPETITIONS, COMPARISONS)
    with tempfile.TemporaryDirectory(prefix="growth-") as scratch:
        by_size = {n: _measure(scratch, {n: {"comparisons": n}}, times)[n] for n, times in sizes.items()}
        by_shape = {
            name: _measure(scratch, {n: {"comparisons": comparisons, name: n} for n in values}, repetitions)
            for name, values in (("responses", RESPONSES), ("prompt_tokens", PROMPT_TOKENS), ("at_once", AT_ONCE))
        }
        inside = {"comparisons": 500 if quick else SAMPLED, "sampled": True}
        sampled = _measure(scratch, {0: inside}, repetitions)[0]
    variants = {
        "{:,} comparisons": by_size,
        "{} responses to each prompt": by_shape["responses"],
        "prompts of {:,} tokens": by_shape["prompt_tokens"],
        "answers recorded {} at a time": by_shape["at_once"],
    }
    return {
        "title": "Growth: labelling with a model that answers at once",
        "setup": {
            "prompts and responses": "100 random words of one token each, where nothing else is said",
            "judge": "both orders, no exemplars: two calls for a label",
            "answers recorded": "8 at a time, where nothing else is said",
            "slope of seconds over comparisons (log-log)": _slope(by_size, "seconds"),
            "slope of peak memory over comparisons (log-log)": _slope(by_size, "peak_mib"),
        },
        "rows": [_row(form.format(n), result) for form, results in variants.items() for n, result in results.items()],
        "curves": {
            **{key: {str(n): result.median(key) for n, result in by_size.items()} for key in ("seconds", "peak_mib")},
            **{name: {str(n): _per_label(r) for n, r in results.items()} for name, results in by_shape.items()},
        },
        "tables": [*_inside(sampled)],
        "headline": _headline(by_size),
    }


def figure(result: dict[str, Any], path: Path) -> None:
    """Draws seconds and memory against the number of comparisons, and milliseconds per label against the rest."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = (
        ("seconds", "comparisons", "seconds"),
        ("peak_mib", "comparisons", "peak memory, MiB"),
        ("responses", "responses to each prompt", "ms per label"),
        ("prompt_tokens", "tokens of a prompt", "ms per label"),
    )
    with mpl.rc_context({"svg.hashsalt": "preceptor", "font.size": 9, "axes.titlesize": 10}):
        drawn = Figure(figsize=(9.0, 6.0), layout="constrained")
        for axes, (name, x_label, y_label) in zip(drawn.subplots(2, 2).flat, panels, strict=True):
            points = {int(x): y for x, y in result["curves"][name].items() if y is not None}
            if points:
                axes.loglog(list(points), list(points.values()), "o-", color="#0f8b6d")
                low, high = min(points.values()), max(points.values())
                axes.set_ylim(min(low / 2, high / 20), high * 2)  # more than a decade, so that flat lines look flat
                axes.set_xticks(list(points), labels=[f"{x:,}" for x in points])
                axes.set_xticks([], minor=True)
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter("")
            axes.set(xlabel=x_label, ylabel=y_label)
            axes.grid(which="major", alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        drawn.savefig(path, metadata={"Date": None})


def _measure(scratch: str, shapes: Mapping[int, dict[str, Any]], repetitions: int) -> Series:
    """Measures the shapes in turn, each in its own process."""
    contestants: list[Contestant] = []
    for shape in shapes.values():
        settings = {**PLAIN, **shape}
        settings["rows"] = max(1, settings.pop("comparisons") // math.comb(settings["responses"], 2))
        name = "-".join(map(str, settings.values()))
        folder = tempfile.mkdtemp(dir=scratch, prefix=name)
        contestants.append(Contestant(name, "benchmarks.workers.growth", {**settings, "folder": folder}))
    return dict(zip(shapes, compete(contestants, repetitions), strict=True))


def _row(variant: str, result: Result) -> dict[str, Any]:
    result = Result("preceptor", result.repetitions, result.failed)
    return {
        **result.row(variant, result),
        "ms_per_label": _per_label(result),
        "cpu_ms_per_label": _per_label(result, "cpu_seconds"),
        "parts": _parts(result),
    }


def _per_label(result: Result, key: str = "seconds") -> float | None:
    """Median milliseconds for a label."""
    values = [1e3 * repetition[key] / repetition["units"] for repetition in result.repetitions]
    return statistics.median(values) if values else None


def _parts(result: Result) -> dict[str, float]:
    """Mean seconds of each part; a place that the sampler did not see in a repetition counts as 0 there."""
    names = sorted({name for repetition in result.repetitions for name in repetition["parts"]})
    return {name: statistics.fmean(r["parts"].get(name, 0.0) for r in result.repetitions) for name in names}


def _slope(by_size: Series, key: str) -> float | None:
    """The slope of the straight line through the logarithms: 1 is proportional, 0 is flat."""
    points = [(n, value) for n, result in by_size.items() if (value := result.median(key)) is not None]
    if len(points) < 2:
        return None
    line = statistics.linear_regression([math.log(n) for n, _ in points], [math.log(value) for _, value in points])
    return round(line.slope, 3)


def _inside(sampled: Result) -> list[dict[str, Any]]:
    """Where a label's time goes, by part and by place."""
    units = sampled.median("units")
    if not units:
        return []
    places = Counter({place: 1e3 * seconds / units for place, seconds in _parts(sampled).items()})
    total, parts = places.total(), Counter[str]()
    for place, milliseconds in places.items():
        file, *_, last = place.split()
        parts[PARTS.get(last) or PARTS.get(file, "the rest")] += milliseconds

    def table(title: str, column: str, listed: Counter[str], most: int | None) -> dict[str, Any]:
        rows = [[name, f"{ms:.3f}", f"{ms / total:.0%}"] for name, ms in listed.most_common(most)]
        return {
            "title": title,
            "columns": [column, "ms per label", "share"],
            "rows": [*rows, ["all", f"{total:.3f}", ""]],
        }

    return [
        table(f"Where a label's time goes ({units:,.0f} comparisons)", "part", parts, None),
        table(f"The {LISTED} places with most of it", "file, function (library inside)", places, LISTED),
    ]


def _headline(by_size: Series) -> list[dict[str, Any]]:
    usual, sizes = _per_label(by_size[max(n for n in by_size if n <= 10_000)]), sorted(by_size)
    peaks = [by_size[n].median("peak_mib") for n in (sizes[0], sizes[-1])]
    lines: list[dict[str, Any]] = []
    if usual is not None:
        lines.append({"figure": "overhead per label", "value": f"{usual:.2f} ms", "against": "the model's time aside"})
    if None not in peaks:
        value = f"{peaks[0]:.0f} → {peaks[1]:.0f} MiB"
        lines.append(
            {
                "figure": "peak memory of labelling",
                "value": value,
                "against": f"{sizes[0]:,} → {sizes[-1]:,} comparisons",
            }
        )
    return lines
