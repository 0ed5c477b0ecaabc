"""An agent's run in its report: success, tool errors and turns, and episodes side by side, turn by turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from preceptor.core.numbers import number
from preceptor.core.progress import Facts
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot, by_prompt
from preceptor.evaluation.policies.agents import AgentComparison, AgentMeasures
from preceptor.reports.figures import BLUE, OCHRE, RED, STYLE, WIDTH, to_svg, whole_steps
from preceptor.reports.turns import ENDINGS, Turn, turns_of
from preceptor.results.run import RunSummary

SHOWN = 3
"""Pairs of episodes of each kind that are shown."""
_PANELS = (
    ("success", "Share of episodes that did their task", BLUE),
    ("tool_errors", "Failed calls of an episode", RED),
    ("turns", "Turns of an episode", OCHRE),
)


@dataclass(frozen=True)
class Told:
    """One episode in words."""

    when: str
    done: str
    """`done`, `not done` or `unknown`."""
    facts: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Pair:
    """An episode before training and one after, on the same task."""

    kind: str
    cohort: str
    prompt: str
    before: Told
    after: Told

    @property
    def rows(self) -> list[tuple[Turn | None, Turn | None]]:
        """The turns side by side; None where one episode had ended."""
        return list(zip_longest(self.before.turns, self.after.turns))


@dataclass(frozen=True)
class LostPlans:
    """Training steps between two checkpoints, and the episodes in them whose every turn scored well."""

    steps: str
    every_step_good: int
    plan_lost: int


@dataclass(frozen=True)
class AgentsView:
    """The section of a report."""

    found: AgentComparison
    ks: tuple[int, ...]
    """Of pass@k, without 1."""
    curves: Markup | None
    lost: list[LostPlans]
    pairs: list[Pair]

    def pass_at(self, measures: AgentMeasures, k: int) -> Any:
        """The estimate of pass@k; None if there is none."""
        return next((each.rate for each in measures.pass_at if each.k == k), None)


def agents_view(
    found: AgentComparison | None, before: Snapshot, after: Snapshot, metrics: Sequence[Facts], summary: RunSummary
) -> AgentsView | None:
    """The section of a report; None for a run without an agent."""
    if found is None:
        return None
    ks = sorted({each.k for measures in (*found.before, *found.after) for each in measures.pass_at if each.k > 1})
    return AgentsView(found, tuple(ks), _curves(metrics), _lost(metrics, summary), _pairs(before, after))


def _rows(metrics: Sequence[Facts]) -> list[tuple[int, dict[str, float]]]:
    """The facts of the episodes of each training step."""
    anything: Sequence[Any] = metrics
    return [(row["step"], row["episodes"]) for row in anything if isinstance(row.get("episodes"), dict)]


def _curves(metrics: Sequence[Facts]) -> Markup | None:
    rows = _rows(metrics)
    if not rows:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        panels = list(figure.subplots(len(_PANELS), 1, sharex=True))
        for axes, (key, title, colour) in zip(panels, _PANELS, strict=True):
            known = [(step, facts[key]) for step, facts in rows if key in facts]
            if known:
                axes.plot(*zip(*known, strict=True), "o-", color=colour, markersize=3, linewidth=1.2)
            axes.set_title(title)
        panels[0].set_ylim(-0.05, 1.05)
        panels[-1].set_xlabel("training step")
        whole_steps(panels[-1])
        return to_svg(figure, "Success, failed calls and turns of the episodes of each training step")


def _lost(metrics: Sequence[Facts], summary: RunSummary) -> list[LostPlans]:
    """Right steps of wrong plans, up to each checkpoint; empty where no turn was judged."""
    rows = [(step, facts) for step, facts in _rows(metrics) if "plan_lost" in facts]
    ends = sorted({look.step for look in summary.curve if look.step} | {step for step, _ in rows[-1:]})
    listed: list[LostPlans] = []
    for start, end in zip([0, *ends], ends, strict=False):
        inside = [facts for step, facts in rows if start < step <= end]
        good, lost = (int(sum(facts[key] for facts in inside)) for key in ("every_step_good", "plan_lost"))
        listed += [LostPlans(f"{start + 1} to {end}", good, lost)] if inside else []
    return listed


def _pairs(before: Snapshot, after: Snapshot) -> list[Pair]:
    """Episodes on the same task with the same random numbers: those that were won, lost, and neither."""
    earlier = by_prompt(before.responses)
    both = [
        (was, now)
        for task, now_G in by_prompt(after.responses).items()
        for was, now in zip(earlier.get(task, []), now_G, strict=False)
        if was.episode is not None and now.episode is not None
    ]
    kinds = {"Won": (False, True), "Lost": (True, False), "Done both times": (True, True)}
    pairs: list[Pair] = []
    for kind, wanted in (*kinds.items(), ("Done neither time", (False, False))):
        chosen = [(was, now) for was, now in both if (_success(was), _success(now)) == wanted]
        pairs += [_pair(kind, was, now) for was, now in chosen[:SHOWN]]
    return pairs


def _pair(kind: str, was: MeasuredResponse, now: MeasuredResponse) -> Pair:
    return Pair(kind, now.cohort, now.prompt, _told("before", was), _told("after", now))


def _success(response: MeasuredResponse) -> bool | None:
    return None if response.episode is None else response.episode.success


def _told(when: str, response: MeasuredResponse) -> Told:
    episode, done = response.episode, {True: "done", False: "not done", None: "unknown"}[_success(response)]
    facts = [] if episode is None else [ENDINGS[episode.ending], *_failure(episode.result.failure)]
    if response.judge_score is not None:
        facts.append(f"judge {number(response.judge_score, signed=True)}")
    return Told(when, done, " · ".join(facts), turns_of(response.trajectory, response.steps))


def _failure(failure: str | None) -> list[str]:
    return [] if failure is None else [failure]
