"""The section of a report on an agent: numbers, and episodes side by side, whatever they hold."""

from dataclasses import replace
from typing import Any

from measured_episodes import episode
from preceptor.evaluation.checkpoints.agents import agents_before_and_after
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.evaluation.policies import words
from preceptor.reports.measured import Scores, rows_of
from preceptor.reports.run.agents import agents_view
from preceptor.reports.run.page import ReportData, render_report
from preceptor.results.run import RunSummary
from preceptor.runs.evaluation import evaluate_run
from run_examples import data
from small import known

BEFORE = Snapshot(step=0, responses=tuple(episode(t, t < 3, errors=1) for t in range(12)), references=())
AFTER = Snapshot(
    step=10,
    responses=tuple(episode(t, None if t == 0 else t > 1, steps=(8.0, 9.0)) for t in range(12)),
    references=(),
)
METRICS: list[dict[str, Any]] = [
    {
        "step": s, "reward": 0.1 * s, "kl": 0.1, "abstained": 0,
        "episodes": {"turns": 2.0, "tool_errors": 0.5, "success": s / 10, "every_step_good": 4.0, "plan_lost": 1.0},
    }
    for s in range(1, 11)
]  # fmt: skip


def of_agent() -> ReportData:
    run = data()
    found = agents_before_and_after(BEFORE, AFTER)
    summary = run.summary.model_copy(update={"agents": found, "heldout_score_is": "success by the environment"})
    return replace(run, summary=summary, before=BEFORE, after=AFTER, metrics=METRICS)


def test_the_view_pairs_episodes_and_counts_lost_plans_up_to_each_checkpoint() -> None:
    run = of_agent()
    view = known(agents_view(run.summary.agents, BEFORE, AFTER, METRICS, run.summary))
    overall = view.found.after[0]
    assert (overall.unknown, overall.tasks) == (1, 12)
    assert known(overall.success).value == 10 / 11
    assert (overall.every_step_good, overall.plan_lost) == (12, 1)
    assert [(row.steps, row.every_step_good, row.plan_lost) for row in view.lost] == [("1 to 10", 40, 10)]
    kinds = [pair.kind for pair in view.pairs]
    assert kinds == ["Won"] * 3 + ["Lost"] + ["Done both times"]
    first = view.pairs[0]
    assert [(len(was.results), len(now.calls)) for was, now in first.rows if was and now] == [(1, 1), (0, 0)]
    assert first.after.turns[0].score == 8.0


def test_the_page_has_the_episodes_and_escapes_what_tools_and_policies_wrote() -> None:
    page = render_report(of_agent())
    assert "The agent's episodes" in page
    assert "Right steps of a lost plan" in page
    assert "<script>document.title" not in page
    assert "result 3 &lt;script&gt;" in page
    assert "&lt;img src=x" in page
    assert "agents" not in data().summary.model_dump(mode="json")
    assert "The agent's episodes" not in render_report(data())


def test_success_is_among_the_changes_that_are_corrected_together() -> None:
    evaluation = evaluate_run(BEFORE, AFTER, of_agent().summary)
    changed = {(change.measure, change.cohort): change for change in evaluation.changes}
    assert changed["task done", "a"].after.value == 1.0
    assert changed["task done", "b"].before.value == 1 / 6
    assert {change.measure for change in evaluation.changes} >= {"task done"}
    assert evaluation.judge.name == "the environment"
    assert not any(warning.startswith("the ") for warning in words.warnings(evaluation))


def test_a_summary_with_episodes_is_read_back() -> None:
    summary = of_agent().summary
    assert RunSummary.model_validate_json(summary.model_dump_json()) == summary
    assert Snapshot.model_validate_json(AFTER.model_dump_json()) == AFTER


def test_the_rows_of_any_report_have_the_turns_and_how_the_episode_ended() -> None:
    [first, *_] = rows_of({"before": BEFORE, "after": AFTER}, Scores(held_out=True, training=None))
    was, now = first.sides
    assert [(len(turn.calls), len(turn.results), turn.score) for turn in now.turns] == [(1, 1, 8.0), (0, 0, 9.0)]
    assert "answer 0" in was.turns[-1].said
    assert "it answered" in was.label
    assert "environment ended" in now.label
    assert first.characters > sum(turn.characters for side in first.sides for turn in side.turns)
    assert render_report(of_agent()).count("result 7 &lt;script&gt;") >= 2  # before and after, among all responses
