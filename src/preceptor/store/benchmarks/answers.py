"""Benchmarks whose answers are known: RewardBench 1 and 2, JudgeBench, RM-Bench, LLMBar."""

from itertools import combinations

from preceptor.store.benchmarks.parts import Part, chosen_of, need, text, texts
from preceptor.store.columns import WrongRowError
from preceptor.store.rows import Row

TIES = "Ties"
"""The subset of RewardBench 2 with several right responses."""
STYLES = 3
"""RM-Bench's styles: concise, detailed, detailed with Markdown."""
_SOURCES = {
    "mmlu-pro": "Knowledge",
    "livebench-reasoning": "Reasoning",
    "livebench-math": "Math",
    "livecodebench": "Coding",
}
"""JudgeBench's categories, by how the name of a source begins."""


def rewardbench(row: Row, _folder: str) -> list[tuple[Row, Part]]:
    """`id`, `prompt`, `chosen`, `rejected`, `subset` (allenai/reward-bench, split `filtered`)."""
    name, subset = text(row, "id"), text(row, "subset")
    ours = {
        "id": name,
        "prompt": need(row, "prompt"),
        "chosen": need(row, "chosen"),
        "rejected": need(row, "rejected"),
        "category": subset,
        "metadata": {"models": [row.get("chosen_model"), row.get("rejected_model")]},
    }
    return [(ours, Part(name, subset))]


def rewardbench2(row: Row, _folder: str) -> list[tuple[Row, Part]]:
    """`id`, `prompt`, `chosen` and `rejected` (lists), `num_correct`, `subset` (allenai/reward-bench-2).

    Every right response is compared with every wrong one; of the ties, also every two right ones.
    """
    name, subset = text(row, "id"), text(row, "subset")
    right, wrong = texts(row, "chosen"), texts(row, "rejected")
    if row.get("num_correct") not in (None, len(right)):
        raise WrongRowError(f"num_correct: {row['num_correct']}, but there are {len(right)} chosen responses")
    pairs = _matrix(row, name, subset, right, wrong)
    if subset == TIES:
        pairs += [_both_right(row, name, right, i, j) for i, j in combinations(range(len(right)), 2)]
    return pairs


def rm_bench(row: Row, _folder: str) -> list[tuple[Row, Part]]:
    """`id`, `prompt`, `chosen` and `rejected` (each in three styles), `domain` (THU-KEG/RM-Bench)."""
    right, wrong = texts(row, "chosen", STYLES), texts(row, "rejected", STYLES)
    if len(right) != STYLES or len(wrong) != STYLES:
        raise WrongRowError(f"chosen, rejected: expected {STYLES} styles of each, got {len(right)} and {len(wrong)}")
    return _matrix(row, text(row, "id"), text(row, "domain"), right, wrong)


def judgebench(row: Row, _folder: str) -> list[tuple[Row, Part]]:
    """`pair_id`, `question`, `response_A`, `response_B`, `source`, `label` (ScalerLab/JudgeBench)."""
    name, source = text(row, "pair_id"), text(row, "source")
    category = next((title for begin, title in _SOURCES.items() if source.startswith(begin)), source)
    ours: Row = {
        "id": name,
        "prompt": need(row, "question"),
        "response_a": need(row, "response_A"),
        "response_b": need(row, "response_B"),
        "label": chosen_of(row, "label", {"A>B": "a", "B>A": "b"}),
        "category": category,
    }
    return [(ours, Part(name, category))]


def llmbar(row: Row, folder: str) -> list[tuple[Row, Part]]:
    """`input`, `output_1`, `output_2`, `label` (princeton-nlp/LLMBar); the folder's name is the subset."""
    ours: Row = {
        "prompt": need(row, "input"),
        "response_a": need(row, "output_1"),
        "response_b": need(row, "output_2"),
        "label": chosen_of(row, "label", {1: "a", 2: "b"}),
        "category": folder,
    }
    return [(ours, Part("", folder))]


def _matrix(row: Row, name: str, subset: str, right: list[str], wrong: list[str]) -> list[tuple[Row, Part]]:
    return [
        (
            {
                "id": f"{name}-{i}-{j}",
                "prompt": need(row, "prompt"),
                "chosen": good,
                "rejected": bad,
                "category": subset,
            },
            Part(name, subset, (i, j)),
        )
        for i, good in enumerate(right)
        for j, bad in enumerate(wrong)
    ]


def _both_right(row: Row, name: str, right: list[str], i: int, j: int) -> tuple[Row, Part]:
    ours: Row = {
        "id": f"{name}-right-{i}-{j}",
        "prompt": need(row, "prompt"),
        "response_a": right[i],
        "response_b": right[j],
        "label": "tie",
        "category": TIES,
    }
    return ours, Part(name, TIES, (i, j), both_right=True)
