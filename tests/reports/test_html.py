"""The report: it says what the numbers say, and model text stays text."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from preceptor.evaluation.checkpoints import OverOptimisation
from preceptor.evaluation.snapshot import MeasuredReference, MeasuredResponse, Snapshot
from preceptor.recipes.load import load_recipe
from preceptor.reports.html import ReportData, examples, headline, render_report, warnings

SCRIPT = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title='taken over'\">"
CHROMIUM = shutil.which("chromium")


def snapshot(step: int, heldout: float, text: str = "fine words here") -> Snapshot:
    responses = tuple(
        MeasuredResponse(
            prompt_id=f"{i}",
            cohort="from $5 to $10" if i % 2 else r"$\frac$ <b>",
            prompt=f"prompt {i} {SCRIPT}",
            text=f"{text} {i}",
            tokens=5 + i,
            finished=bool(i % 3),
            kl=float(step),
            judge_score=None if i == 3 else heldout,
            choice_mass=0.5,
            heldout_score=heldout + 0.01 * i,
        )
        for i in range(10)
    )
    return Snapshot(
        step=step,
        responses=responses,
        references=(MeasuredReference(prompt_id="r", cohort="facts", log_likelihood=-9.0, tokens=4),),
    )


def data(after: float = 0.7) -> ReportData:
    before, later = snapshot(0, 0.2), snapshot(10, after, text=SCRIPT)
    summary: dict[str, Any] = {
        "method": "direct RLAIF", "stages": {"training": 9.0},
        "status": "done", "wall_s": 12.0, "steps": 10, "stopped_early": None, "policy": "p", "judge": "j",
        "judge_is_policy": False, "seed": 0, "best_step": 10, "excluded_checkpoints": {"5": "KL 30.0 is above 20"},
        "constitution": {"name": "c", "version": "1", "hash": "abc", "summary": "s", "principles": [SCRIPT]},
        "prompts": {"training": 20, "held_out": 10, "skipped": 0},
        "evaluation": {"before": before.summary(), "after": later.summary()},
        "heldout_change": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10},
        "curve": [before.summary(), later.summary()],
        "over_optimisation": OverOptimisation(detected=False).model_dump(mode="json"),
        "judge_calls": 100, "judge_failures": 0, "judge_tokens": 5000, "judge_content_free_score": None,
        "judge_score_is": "training judge's reward (log-odds)", "reward_processing": None,
        "answering": {"max_new_tokens": 32, "temperature": 0.9},
        **dict.fromkeys(("sft", "fine_tuning", "revision", "labels", "preferences", "reward_model", "best_of_n")),
        "ledger_hits": 1, "seconds": {"sampling": 1.0}, "environment": {"python": "3"},
        "recipe": load_recipe("quickstart").model_dump(mode="json"),
    }  # fmt: skip
    metrics = [{"step": i, "reward": None if i == 2 else 0.1 * i, "kl": 0.1 * i, "abstained": 0} for i in range(1, 11)]
    return ReportData(summary, metrics, before, later)


def test_text_from_models_prompts_and_constitutions_is_escaped() -> None:
    page = render_report(data())
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") > 5


def test_the_page_needs_nothing_from_outside() -> None:
    page = render_report(data())
    references = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?(?!#)([^"\')\s>]+)', page.replace("&#34;", '"'))
    assert [r for r in references if r.startswith(("http", "//"))] == []
    assert page.count("<svg") == 2
    assert "currentColor" in page


def test_the_headline_says_what_the_interval_says() -> None:
    summary = data().summary
    assert "rose: 0.25 before, 0.74 after (+0.50 [+0.40, +0.60])" in headline(summary)
    summary["heldout_change"] = {"value": 0.1, "low": -0.1, "high": 0.3, "n": 10}
    assert "did not change beyond chance" in headline(summary)
    summary["heldout_change"] = {"value": -0.2, "low": -0.3, "high": -0.1, "n": 10}
    assert "fell" in headline(summary)


def test_reasons_to_doubt_come_first() -> None:
    summary = data().summary
    summary["evaluation"]["after"]["judge_agreement"] = 0.9
    assert warnings(summary) == []
    summary.update(judge_failures=5, judge_is_policy=True, best_step=0)
    summary["over_optimisation"] = {"detected": True, "step": 5, "reasons": ["r"]}
    found = warnings(summary)
    assert found[0].startswith("Over-optimisation from step 5 on: r.")
    assert "The judge failed on 5 of 100 calls (5.0%)." in found
    assert any("same weights" in warning for warning in found)
    assert any("untrained policy was kept" in warning for warning in found)


def test_a_reward_model_that_guesses_is_a_reason_to_doubt() -> None:
    summary = data().summary
    accuracy = {"value": 0.55, "low": 0.4, "high": 0.7, "n": 30}
    summary["reward_model"] = {"accuracy": {"accuracy": accuracy}}
    assert any("not beyond chance: accuracy 0.55 [0.40, 0.70]" in warning for warning in warnings(summary))
    accuracy["low"] = 0.51
    assert not any("chance" in warning for warning in warnings(summary))


def test_without_a_judge_nothing_is_said_of_one() -> None:
    whole = data()
    judge = {"judge": None, "constitution": None, "judge_content_free_score": None, "judge_score_is": None}
    summary = whole.summary | judge | {"method": "supervised fine-tuning"}
    summary["recipe"] = load_recipe("sft").model_dump(mode="json")
    summary["sft"] = {"demonstrations": 5, "updates": 2, "first_loss": 2.0, "last_loss": 1.0}
    metrics: list[dict[str, Any]] = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    page = render_report(ReportData(summary, metrics, whole.before, whole.after))
    assert "udge" not in page
    assert "5 demonstrations, 2 updates, loss 2.00 at first, 1.00 at last" in page


def test_examples_show_gains_the_middle_and_falls() -> None:
    chosen = examples(snapshot(0, 0.2), snapshot(10, 0.7))
    assert [e.kind for e in chosen] == ["Largest gain"] * 3 + ["Around the median"] * 3 + ["Largest fall"] * 3
    assert len({e.before.prompt_id for e in chosen}) == 9
    assert all(e.before.prompt_id == e.after.prompt_id for e in chosen)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_real_browser_draws_it_and_runs_nothing(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_report(data()), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    done = subprocess.run(
        [str(CHROMIUM), *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "<title>preceptor: c, seed 0</title>" in done.stdout
    assert done.stdout.count("<path") > 20
