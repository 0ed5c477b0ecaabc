"""Figures of an evaluation, as inline SVG. Each has a text with its main numbers for readers who cannot see it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from preceptor.core.numbers import Interval, estimate, number, percent, share
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.evaluation.policies.cohorts import Change
from preceptor.evaluation.policies.length_control import LengthControl
from preceptor.evaluation.policies.result import Evaluation, PointOfLength
from preceptor.evaluation.policies.standings import against_baseline
from preceptor.evaluation.policies.windows import FailTrend
from preceptor.reports import figures as draw
from preceptor.reports.audit.figures import draw_reliability
from preceptor.reports.evaluation.view import cohort_wins, varying

_ROWS = 14
"""The largest number of rows in a figure of changes; with more, each measure gets its own figure."""
_DRAWN = 600
"""The largest number of points in a scatter plot; with more, evenly spaced ones are drawn."""
_GROUPS = 6


def win_rates(evaluation: Evaluation) -> Markup | None:
    """Win rates against the baseline: raw, at equal length, and by the training judge; with two policies, also by
    cohort.
    """
    pairs = against_baseline(evaluation)
    if not pairs:
        return None
    several, base = len(pairs) > 1, evaluation.policies[0].name
    rows = [pair.win.policy if several else "all cohorts" for pair in pairs]
    raw: list[Interval | None] = [pair.win.rate for pair in pairs]
    equal: list[Interval | None] = [pair.at_equal_length for pair in pairs]
    training: list[Interval | None] = [pair.training and pair.training.rate for pair in pairs]
    if not several:
        for win, by_training in cohort_wins(evaluation):
            rows.append(str(win.cohort))
            raw.append(win.rate)
            equal.append(None)
            training.append(by_training and by_training.rate)
    summary = "; ".join(
        f"{row} {share(rate)}" + (f", {share(controlled)} at equal length" if controlled else "")
        for row, rate, controlled in zip(rows, raw, equal, strict=True)
    )
    return draw.forest(
        rows,
        [
            draw.Series("as it is", draw.BLUE, raw),
            draw.Series("at equal length", draw.SERIES[2], equal, "s"),
            draw.Series("by the training judge", draw.OCHRE, training, "D"),
        ],
        title=draw.wrapped(
            f"Win rates against {base}" if several else f"{pairs[0].win.policy} against {base}: win rate", width=42
        ),
        description=f"Win rates against {base}: {summary}",
        at=0.5,
        percent=True,
    )


def changes(evaluation: Evaluation) -> list[Markup]:
    """All changes, marked by their verdicts: one figure for each policy, or several if it has many changes."""
    figures: list[Markup] = []
    for policy in dict.fromkeys(change.policy for change in evaluation.changes):
        own = [change for change in evaluation.changes if change.policy == policy]
        title = f"{policy} against {own[0].against}: change"
        if len(own) <= _ROWS:
            figures.append(_changes(own, title))
            continue
        groups = [[change for change in own if change.measure == measure] for measure in _measures(own)]
        figures += [_changes(group, f"{title} of {group[0].measure}") for group in groups if len(group) > 1]
        if alone := [group[0] for group in groups if len(group) == 1]:
            figures.append(_changes(alone, title))
    return figures


def _measures(changes: Sequence[Change]) -> list[str]:
    return list(dict.fromkeys(change.measure for change in changes))


def _changes(shown: Sequence[Change], title: str) -> Markup:
    styles = (
        ("improved", draw.GREEN, "^"),
        ("unchanged", draw.GREY, "o"),
        ("too few prompts", draw.GREY, "D"),
        ("regressed", draw.RED, "v"),
    )
    series = [
        draw.Series(verdict, colour, [change.change if change.verdict == verdict else None for change in shown], marker)
        for verdict, colour, marker in styles
    ]
    rows = varying(shown)
    summary = "; ".join(
        f"{row} {change.verdict} {estimate(change.change, signed=True)}"
        for row, change in zip(rows, shown, strict=True)
    )
    return draw.forest(
        rows, series, title=draw.wrapped(title, width=42), description=f"{title}: {summary}", at=0.0, overlaid=True
    )  # fmt: skip


def length_scatter(points: Sequence[PointOfLength], control: LengthControl | None, policy: str, base: str) -> Markup:
    """The judge's preference in each comparison, plotted against the difference in length; with the share won in groups
    of similar length, and the fit that gives the win rate at equal length.
    """
    x = np.array([point.length_difference for point in points], dtype=float)
    y = np.array([point.p for point in points])
    drawn = np.linspace(0, len(x) - 1, min(len(x), _DRAWN)).astype(int)
    with rc_context(draw.STYLE):
        figure = Figure(figsize=(draw.WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.scatter(x[drawn], y[drawn], s=14, color=draw.GREY, alpha=0.45, linewidths=0)
        axes.axhline(0.5, color=draw.RED, linewidth=1, linestyle=":")
        axes.axvline(0.0, color=draw.RED, linewidth=1, linestyle=":")
        _group_means(axes, x, np.sign(y - 0.5) / 2 + 0.5)
        _fit(axes, x, control)
        axes.set_ylim(-0.04, 1.04)
        axes.yaxis.set_major_formatter(draw.as_percent)
        axes.set_xlabel(f"characters longer than {draw.wrapped(base, lines=1)}")
        axes.set_title(draw.wrapped(f"{policy} against {base}: preference by length", width=42))
        if len(handles := axes.get_legend_handles_labels()[0]) > 1:
            figure.legend(loc="outside lower center", ncols=len(handles))
        longer = control.longer_preferred if control else None
        return draw.to_svg(
            figure,
            f"Preference for {policy} against difference in length over {len(points)} comparisons: the longer response "
            f"is preferred in {percent(longer)}, at equal length {policy} wins "
            f"{share(control.by_difference if control else None)}",
        )


def _group_means(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """The share won, with ties as half, in equally large groups of comparisons with similar length differences."""
    if len(x) < 5 * _GROUPS:
        return
    groups = np.array_split(np.argsort(x, kind="stable"), _GROUPS)
    axes.plot(
        [float(x[group].mean()) for group in groups], [float(y[group].mean()) for group in groups],
        linestyle="none", marker="o", markersize=7, color=draw.OCHRE, label="share won, by sixths",
    )  # fmt: skip


def _fit(axes: Axes, x: np.ndarray, control: LengthControl | None) -> None:
    """σ(θ + φ·tanh(d / sd(d))), with θ from the rate at equal length, `LengthControl.by_difference`."""
    deviation = float(x.std()) if len(x) else 0.0
    if control is None or control.by_difference is None or control.length_effect is None or deviation == 0:
        return
    at_zero = min(max(control.by_difference.value, 1e-6), 1 - 1e-6)
    along = np.linspace(float(x.min()), float(x.max()), 80)
    log_odds = math.log(at_zero / (1 - at_zero)) + control.length_effect * np.tanh(along / deviation)
    axes.plot(along, 1 / (1 + np.exp(-log_odds)), color=draw.BLUE, linewidth=1.6, label="fit")


def position_bias(evaluation: Evaluation) -> Markup | None:
    """Bars: the win rate averaged over both orders, beside the win rate of the policy when it is shown first. None if
    no order is known. The difference between the two is the judge's position bias.
    """
    known = [(pair.win, pair.win.single_order) for pair in against_baseline(evaluation)]
    shown = [(win, single) for win, single in known if single is not None]
    if not shown:
        return None
    with rc_context(draw.STYLE):
        figure = Figure(figsize=(draw.WIDTH, 1.1 + 0.62 * len(shown)), layout="constrained")
        axes = figure.subplots()
        _bars(axes, [win.rate for win, _ in shown], -0.18, draw.BLUE, "both orders")
        _bars(axes, [single for _, single in shown], 0.18, draw.GREY, "shown first only")
        axes.axvline(0.5, color=draw.RED, linewidth=1, linestyle=":")
        axes.set_yticks(range(len(shown)), [draw.wrapped(win.policy) for win, _ in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(draw.as_percent)
        axes.set_title("Win rate in both orders, and in one")
        figure.legend(loc="outside lower center", ncols=2)
        summary = "; ".join(f"{w.policy} {share(w.rate)} in both orders, {share(s)} shown first" for w, s in shown)
        return draw.to_svg(figure, f"Position bias: {summary}")


def _bars(axes: Axes, rates: Sequence[Estimate], shift: float, colour: str, label: str) -> None:
    axes.barh(
        [i + shift for i in range(len(rates))], [rate.value for rate in rates], height=0.3, xerr=draw.reach(rates),
        color=colour, label=label, error_kw={"elinewidth": 1.2, "ecolor": draw.STYLE["text.color"]},
    )  # fmt: skip


def disagreement(evaluation: Evaluation) -> Markup | None:
    """How often the judges disagree, over all cohorts and by cohort; None if only one judge was asked."""
    by_policy = {policy: d for policy, d in evaluation.disagreement.items() if d.overall is not None}
    if not by_policy:
        return None
    cohorts = list(dict.fromkeys(cohort for d in by_policy.values() for cohort in d.by_cohort))
    series = [
        draw.Series(
            draw.wrapped(policy, lines=1),
            draw.SERIES[i % len(draw.SERIES)],
            [d.overall, *(d.by_cohort.get(cohort) for cohort in cohorts)],
            draw.MARKERS[i % len(draw.MARKERS)],
        )
        for i, (policy, d) in enumerate(by_policy.items())
    ]
    summary = "; ".join(f"{policy} {share(d.overall)}" for policy, d in by_policy.items())
    return draw.forest(
        ["all cohorts", *cohorts],
        series,
        title="The two judges prefer different responses",
        description=f"Share of comparisons on which the judges disagree: {summary}",
        percent=True,
    )


def calibration(audit: JudgeAudit) -> Markup | None:
    """The judge's confidence against how often people agree with it; None if there are no pairs."""
    if not audit.reliability:
        return None
    with rc_context(draw.STYLE):
        figure = Figure(figsize=(draw.WIDTH, 3.4), layout="constrained")
        axes = figure.subplots()
        draw_reliability(axes, audit)
        axes.set_title("Confidence against accuracy")
        axes.set_ylabel("share right")
        axes.legend(loc="lower right")
        calibrated = f", {number(audit.calibrated.ece)} calibrated" if audit.calibrated else ""
        right = audit.alignment and audit.alignment.value
        return draw.to_svg(
            figure,
            f"Reliability over {audit.n} pairs that people rated: right on {percent(right)}, calibration "
            f"error {number(audit.ece)}{calibrated}",
        )


def ratings(evaluation: Evaluation) -> Markup | None:
    """Bradley-Terry ratings; None if there are none."""
    rated = evaluation.ratings
    if not rated:
        return None
    summary = "; ".join(f"{rating.policy} {estimate(rating.rating, signed=True)}" for rating in rated)
    return draw.forest(
        [rating.policy for rating in rated],
        [draw.Series("rating", draw.BLUE, [rating.rating for rating in rated])],
        title=draw.wrapped(f"Rating, log-odds of winning against {rated[0].policy}", width=42),
        description=f"Bradley-Terry ratings: {summary}",
        at=0.0,
    )


def trends(evaluation: Evaluation) -> list[Markup]:
    """For each policy, how often it lost against the baseline, by the time at which prompts were asked: all cohorts
    together with intervals, and a thin line for each cohort. A policy with a single window has no figure.
    """
    return [
        _trend(policy, evaluation.policies[0].name, trends)
        for policy, trends in evaluation.trends.items()
        if any(len(trend.windows) > 1 for trend in trends)
    ]


def _trend(policy: str, base: str, trends: Sequence[FailTrend]) -> Markup:
    with rc_context(draw.STYLE):
        figure = Figure(figsize=(draw.WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        for index, trend in enumerate(trends):
            starts: Any = [window.start for window in trend.windows]
            shares = [window.failing for window in trend.windows]
            values, label = (
                [share_lost.value for share_lost in shares],
                draw.wrapped(trend.cohort or "all cohorts", lines=1),
            )
            style: Any = {
                "color": draw.SERIES[index % len(draw.SERIES)],
                "marker": draw.MARKERS[index % len(draw.MARKERS)],
                "label": label,
            }
            if trend.cohort is None:
                axes.errorbar(starts, values, yerr=draw.reach(shares), markersize=5, linewidth=1.6, **style)
            else:
                axes.plot(starts, values, markersize=4, linewidth=1, alpha=0.8, **style)
        axes.yaxis.set_major_formatter(draw.as_percent)
        axes.xaxis.set_major_locator(locator := AutoDateLocator(maxticks=6))
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_title(draw.wrapped(f"{policy} against {base}: lost, by when prompts were asked", width=42))
        if len(trends) > 1:
            figure.legend(loc="outside lower center", ncols=2)
        summary = "; ".join(f"{trend.cohort or 'all cohorts'} {share(trend.windows[-1].failing)}" for trend in trends)
        return draw.to_svg(figure, f"Share of comparisons that {policy} lost over time; in the last window {summary}")
