"""Curves of one run, or of several on top of each other."""

import math
from collections.abc import Sequence
from typing import TypeGuard

from markupsafe import Markup

from preceptor.evaluation.checkpoints.snapshot import MeasureName, Measures
from preceptor.studio.figures import Curve, Point, curves
from preceptor.studio.runs.state import RunState

_STEP = "training step"
_ROUNDING = 1e-6
_TRAINED: tuple[tuple[str, str], ...] = (
    ("reward", "Reward in training"),
    ("loss", "Loss in training"),
    ("equal_groups", "Groups whose rewards are all equal"),
)
_MEASURED: tuple[tuple[MeasureName, str], ...] = (
    ("heldout_score", "Held-out score"),
    ("judge_score", "Training judge's reward on held-out prompts"),
    ("kl", "KL to the reference, nats per response"),
    ("tokens_mean", "Tokens per response"),
    ("distinct_2", "Distinct-2"),
    ("reference_perplexity", "Perplexity on references"),
)


def of_one(state: RunState) -> list[Markup]:
    """The curves of a run so far; those without a value are left out."""
    bound = state.recipe.evaluation.bounds.max_kl
    figures = [
        curves(title, [Curve("training prompts", steps, measured=False)], x_label=_STEP)
        for key, title in _TRAINED
        if (steps := _trained(state, key)) and _says_something(steps)
    ]
    for key, title in _MEASURED:
        points = _measured(state.curve, key)
        steps = _trained(state, "kl") if key == "kl" else []
        drawn = [*([Curve("training prompts", steps, False, True)] if steps else [])]
        drawn += [Curve("held-out prompts", points)] if points else []
        if drawn:
            along = _STEP if state.recipe.rounds is None else "round"
            figures.append(curves(title, drawn, x_label=along, bound=bound if key == "kl" else None))
    return figures


def overlaid(states: Sequence[RunState]) -> list[Markup]:
    """The curves of several runs, one figure for each measure that some of them have."""
    figures: list[Markup] = []
    for key, title in _TRAINED:
        drawn = [Curve(state.work.name, steps, False) for state in states if (steps := _trained(state, key))]
        if any(_says_something(curve.points) for curve in drawn):
            figures.append(curves(title, drawn, x_label=_STEP))
    for key, title in _MEASURED:
        drawn = [Curve(state.work.name, points) for state in states if (points := _measured(state.curve, key))]
        if drawn:
            figures.append(curves(title, drawn, x_label=_STEP))
    return figures


def _trained(state: RunState, key: str) -> list[Point]:
    """The values of the training steps; what is no number in a damaged file is left out."""
    values = [(row.get("step"), row.get(key)) for row in state.metrics]
    return [Point(step, value) for step, value in values if _is_number(step) and _is_number(value)]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _says_something(points: Sequence[Point]) -> bool:
    """Whether the values differ from 0; RL's loss is 0 by construction in many algorithms, apart from rounding."""
    return any(abs(point.value) > _ROUNDING for point in points)


def _measured(curve: Sequence[Measures], key: MeasureName) -> list[Point]:
    return [Point.of(look.step, value) for look in curve if (value := look.measure(key).overall) is not None]
