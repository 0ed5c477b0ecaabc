"""The rewards of training, counted over its steps: groups that told no response apart, and each source by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from preceptor.core.progress import Facts

_END = 10
"""Steps at the beginning and at the end of training over which a source's reward is averaged, at most."""


@dataclass(frozen=True)
class SourceRow:
    """One of several sources of reward, over the whole training."""

    name: str
    first: float | None
    """Mean reward of the first steps."""
    last: float | None
    abstained: int
    equal_groups: int


def groups_in_words(metrics: Sequence[Facts]) -> Iterator[str]:
    """What the groups of all steps told, in sentences; nothing where it was not counted."""
    equal, short = _total(metrics, "equal_groups"), _total(metrics, "short_groups")
    if equal:
        yield f"In {equal} groups of training all rewards were equal, so they told no response from another."
    if short:
        yield f"Groups in which fewer than two responses had a reward, which RLOO, GRPO and online DPO skip: {short}."
    if replaced := _total(metrics, "resampled_groups"):
        tokens = _total(metrics, "discarded_tokens")
        yield f"{replaced} more groups had been sampled ({tokens} tokens) and judged, and were replaced for this."


def sources(metrics: Sequence[Facts]) -> list[SourceRow]:
    """Each source of reward, where there were several."""
    tables = [table for row in metrics if isinstance(table := _any(row).get("sources"), dict)]
    names = list(dict.fromkeys(str(name) for table in tables for name in table))
    return [_source(name, [table[name] for table in tables if name in table]) for name in names]


def _source(name: str, steps: Sequence[dict[str, Any]]) -> SourceRow:
    count = max(1, min(_END, len(steps) // 2))
    return SourceRow(
        name,
        first=_mean(steps[:count]),
        last=_mean(steps[-count:]),
        abstained=sum(step["abstained"] for step in steps),
        equal_groups=sum(step["equal_groups"] for step in steps),
    )


def _mean(steps: Sequence[dict[str, Any]]) -> float | None:
    there = [step["reward"] for step in steps if step["reward"] is not None]
    return fmean(there) if there else None


def _total(metrics: Sequence[Facts], key: str) -> int:
    return sum(int(row.get(key) or 0) for row in metrics)


def _any(row: Any) -> Any:
    """A row of `metrics.jsonl` holds tables too."""
    return row
