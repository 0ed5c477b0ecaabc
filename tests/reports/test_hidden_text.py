"""No report, card, table or message lets a name act on a terminal or hide in a page."""

import ast
import json
import re
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluation_examples import whole
from pages import Page
from test_audit_report import judge_run
from test_compare_report import compared
from test_sweep_report import swept

import preceptor
from preceptor.cli.app import main
from preceptor.core.raters import ConstitutionFacts
from preceptor.display.screen import Display
from preceptor.display.terminal import Terminal, say, say_json
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.judge_audit import audit
from preceptor.evaluation.policies.result import Evaluation
from preceptor.evaluation.policies.trajectories import trajectory_findings
from preceptor.recipes.load import load_recipe
from preceptor.reports.audit.page import render_audit
from preceptor.reports.compare.page import render_compare, render_compare_markdown
from preceptor.reports.evaluation.page import render_evaluation, render_markdown
from preceptor.reports.run.page import ReportData, render_report, render_run_markdown
from preceptor.reports.sweep.page import render_sweep
from preceptor.reports.trajectories import render_trajectories
from preceptor.results.audit import AuditResult
from preceptor.results.comparison import ComparisonResult
from preceptor.results.evaluation import EvaluationResult
from preceptor.results.trajectories import TrajectoriesResult
from preceptor.runs.publish import checkpoint_card, model_card
from preceptor.store.preferences import DatasetCard, write_card
from preceptor.training.reward_model.card import model_card as reward_model_card
from run_examples import data

SNEAKY = "x\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202egnp.exe\u2066\u200f\u200b\u2028\x85[red]:fire:[/red]"
OUT = Path(f"out {SNEAKY}")
Show = Callable[[], object]


def poisoned(value: Any, names: set[str]) -> Any:
    """Plain data with something sneaky after each of these names, as keys and as values."""
    if isinstance(value, dict):
        return {poisoned(key, names): poisoned(each, names) for key, each in value.items()}  # pyright: ignore
    if isinstance(value, list | tuple):
        return [poisoned(each, names) for each in value]  # pyright: ignore
    return value + SNEAKY if isinstance(value, str) and value in names else value


def evaluation() -> Evaluation:
    names = {
        "tuned",
        "chat",
        "history",
        "J",
        "T",
        "helpful 2",
        "everyday.jsonl",
        "runs/tuned",
        "refusal",
        "tuned against base",
    }
    return Evaluation.model_validate(poisoned(whole(SNEAKY).model_dump(mode="json"), names))


def runs() -> ComparisonResult:
    names = {"one", "two", "rl.learning_rate", "0.1", "kind 1 (aaaa)", "The file has changed.", "judge calls"}
    return ComparisonResult.model_validate(poisoned(compared().model_dump(mode="json"), names))


def run() -> ReportData:
    constitution = dict.fromkeys(("name", "version", "hash", "summary"), SNEAKY) | {"principles": [SNEAKY]}
    environment = {"preceptor": SNEAKY, SNEAKY: "1"}
    return data(policy=SNEAKY, judge=SNEAKY, constitution=constitution, environment=environment)


def written_card(folder: Path) -> str:
    write_card(
        folder,
        DatasetCard(
            version="0.1",
            judges=(f"`{SNEAKY}",),
            constitutions=(ConstitutionFacts(name=SNEAKY, version="1", hash="h", summary=f"<b>{SNEAKY}"),),
            preferences=2,
            failures=1,
            malformed=0,
        ),
    )
    return (folder / "README.md").read_text(encoding="utf-8")


def hidden(text: str) -> set[str]:
    """Characters of the text that act or hide."""
    found = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return found - {"\n", "\t"}


FINDINGS = trajectory_findings([], good_step=7.0).model_copy(
    update={"agreement_by_cohort": {SNEAKY: Estimate(value=0.5, low=0.4, high=0.6, n=3)}, "failures": {SNEAKY: 1}}
)
AUDITED = audit([judge_run(f"weak{SNEAKY}", 0.55), judge_run(f"strong{SNEAKY}", 0.95)])
SWEPT = swept(title=SNEAKY, held_out=SNEAKY, training_reward=SNEAKY, facts={SNEAKY: SNEAKY})


@pytest.mark.parametrize(
    "render",
    [
        lambda: render_evaluation(evaluation()),
        lambda: render_report(run()),
        lambda: render_compare(runs()),
        lambda: render_audit(AUDITED, {"data": SNEAKY, "versions": {SNEAKY: 1}}),
        lambda: render_sweep(SWEPT),
    ],
    ids=["evaluation", "run", "compare", "audit", "sweep"],
)
def test_pages(render: Callable[[], str]) -> None:
    page = render()
    assert Page(page).wrong == []
    assert hidden(page) == set()
    assert r"\u202egnp.exe" in page


@pytest.mark.parametrize(
    "render",
    [
        lambda: render_markdown(evaluation()),
        lambda: render_run_markdown(run()),
        lambda: render_compare_markdown(runs()),
        lambda: render_trajectories(FINDINGS, SNEAKY),
        lambda: model_card(run().summary, run().words, "peft"),
        lambda: checkpoint_card(load_recipe("quickstart", [f"judge.constitution={json.dumps(SNEAKY)}"]), 3),
        lambda: reward_model_card(SNEAKY, 512, {SNEAKY: SNEAKY}),
    ],
    ids=["evaluation", "run", "compare", "trajectories", "model card", "checkpoint card", "reward model card"],
)
def test_markdown(render: Callable[[], str]) -> None:
    document = render()
    assert hidden(document) == set()
    assert "u202egnp.exe" in document


def test_dataset_cards(tmp_path: Path) -> None:
    card = written_card(tmp_path)
    assert hidden(card) == set()
    assert "&lt;b&gt;x" in card
    assert "- Judge: `` `x" in card


@pytest.mark.parametrize(
    "show",
    [
        lambda: say(str(EvaluationResult(**dict(evaluation())))),
        lambda: say(str(runs())),
        lambda: say(str(AuditResult(**dict(AUDITED)))),
        lambda: say(str(SWEPT)),
        lambda: say(str(TrajectoriesResult(**dict(FINDINGS)))),
        lambda: say_json(json.dumps({SNEAKY: SNEAKY}, ensure_ascii=False)),
        lambda: say_json(evaluation().model_dump_json(indent=1)),
        lambda: Terminal(width=400).print(SNEAKY),
        lambda: Display().stage(SNEAKY),
        lambda: Display().note(SNEAKY),
    ],
)
def test_terminals(show: Show, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    show()
    out, err = capsys.readouterr()
    assert hidden(out + err) == set()
    assert "u202egnp.exe" in out + err
    assert "[red]:fire:" in out + err


def test_a_name_with_a_line_feed_begins_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    text = whole().model_dump_json().replace('"tuned"', json.dumps("tuned\n! All is well."))
    say(str(EvaluationResult.model_validate_json(text)))
    out = capsys.readouterr().out
    assert r"tuned\n! All" in out
    assert not any(line.startswith("! All is well") for line in out.splitlines())


def test_a_name_with_an_underscore_stands_in_the_legend() -> None:
    text = whole().model_dump_json().replace('"history"', '"_history"')
    page = render_evaluation(Evaluation.model_validate_json(text))
    [drawn] = [svg for svg in re.findall(r"<svg.*?</svg>", page, flags=re.S) if "lost over time" in svg]
    assert "_history" in re.sub(r'aria-label="[^"]*"', "", drawn)


def test_bars_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "400")
    with Display() as shown:
        shown.stage(f"opening {SNEAKY}")
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", capsys.readouterr().err)  # colours and cursor of the bar itself
    assert hidden(drawn) == set()
    assert "[red]:fire:" in drawn
    assert r"\x1b[2J" in drawn


def test_what_went_wrong_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["preceptor", "report", f"no\nwhere{SNEAKY}"])
    with pytest.raises(SystemExit):
        main()
    error = capsys.readouterr().err
    assert hidden(error) == set()
    assert len(error.splitlines()) == 1


def test_a_fault_is_told_without_what_acts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError(SNEAKY)

    monkeypatch.setattr(sys, "argv", ["preceptor", "models"])
    with pytest.raises(SystemExit):
        main(fails)
    error = capsys.readouterr().err
    assert hidden(error) == set()
    assert "Traceback" in error
    assert "gnp.exe" in error


def test_an_argument_that_is_no_text_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["preceptor", "evaluate", "one\udc9b=a.jsonl", "two=b.jsonl", "--out", "x"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        'preceptor: "one\\udc9b=a.jsonl": expected UTF-8; rename a file whose name is in another encoding\n'
    )


def test_only_one_module_writes_to_the_terminal() -> None:
    folder = Path(preceptor.__file__).parent
    found = [
        f"{file.relative_to(folder)}:{node.lineno}"
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id in ("print", "Console"))
        or (isinstance(node, ast.Attribute) and node.attr in ("echo", "secho"))
    ]
    assert {place.split(":")[0] for place in found} == {"display/terminal.py"}, found
