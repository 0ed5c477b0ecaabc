"""Whole runs of a policy that thinks, on both engines: what is recorded, and what the judge sees."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.methods.execute import execute
from preceptor.recipes.load import dump_recipe, load_recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import read_rows
from small import JUDGE, Told, known, settings, shared
from thinkers import END, thinking_folder

THINKS = ["thinking.tokens=12", "thinking.unfinished_reward=-2.0", "rl.steps=2"]


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thinking_folder(tmp_path_factory.mktemp("thinker"))


def ran(folder: Path, policy: Path, *more: str) -> tuple[RunDirectory, RunSummary]:
    folder.mkdir(exist_ok=True)
    directory = RunDirectory.create(folder / "run", load_recipe("quickstart", [*settings(folder, policy), *more]))
    return directory, execute(directory, Told())


def responses(directory: RunDirectory, name: str) -> list[dict[str, Any]]:
    return json.loads((directory.path / f"evaluations/{name}.json").read_text())["responses"]


@pytest.mark.parametrize("engine", [[], ["engine.name=trl"]], ids=["native", "trl"])
def test_a_policy_that_thinks_is_trained_on_both_engines(tmp_path: Path, thinker: Path, engine: list[str]) -> None:
    directory, summary = ran(tmp_path, thinker, *THINKS, *engine)
    rows: list[dict[str, Any]] = read_rows(directory.path / "metrics.jsonl")
    assert len(rows) == 2
    for row in rows:
        thoughts = row["thoughts"]
        assert 0 <= thoughts["unfinished"] <= 6
        assert row["abstained"] == 0  # the judge answers always, and an unfinished thought has a reward
        assert thoughts["tokens"] <= 12
        assert thoughts["answer_tokens"] <= 6
        assert row["tokens"] == pytest.approx(thoughts["tokens"] + thoughts["answer_tokens"])
    after = responses(directory, "after")
    unfinished = [r for r in after if r.get("unfinished_thought")]
    assert 0 < len(unfinished) < len(after)
    assert known(summary.evaluation.after.unfinished_thoughts) == len(unfinished)
    assert {r["text"] for r in unfinished} == {""}
    assert all(END not in r["thought"] for r in after)
    assert all(r["heldout_score"] is not None for r in after)  # no answer is measured as the empty one
    assert summary.evaluation.after.heldout_failures == 0
    page = directory.report.read_text(encoding="utf-8")
    assert f"{len(unfinished)} thoughts" in page
    assert "<summary>The thought before it</summary>" in page
    assert "no answer: the thought did not end within" in page


def test_the_judge_is_shown_answers_alone(tmp_path: Path, thinker: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n\ndef seen(completions, **_):\n"
        f"    with Path({str(tmp_path / 'seen')!r}).open('a') as file:\n"
        "        file.writelines(repr(c[0]['content']) + chr(10) for c in completions)\n"
        "    return [1.0 for _ in completions]\n"
    )
    own = [f'rewards.functions=["{tmp_path / "mine.py"}:seen"]', "rewards.feedback_weight=0"]
    directory, _ = ran(tmp_path, thinker, *THINKS, *own)
    seen = (tmp_path / "seen").read_text().splitlines()
    rows: list[dict[str, Any]] = read_rows(directory.path / "metrics.jsonl")
    assert len(seen) == sum(6 - int(row["thoughts"]["unfinished"]) for row in rows)
    for row in rows:
        unfinished = row["thoughts"]["unfinished"]
        assert row["reward"] == pytest.approx((6 - unfinished - 2.0 * unfinished) / 6)
        assert row["sources"]["seen"]["abstained"] == unfinished


def test_dpo_learns_thoughts_that_its_candidates_had(tmp_path: Path, thinker: Path) -> None:
    few = ["preferences.max_new_tokens=6", "preferences.max_failure_rate=1.0", "preferences.samples_per_prompt=4"]
    small = ["dpo.batch_size=4", "dpo.epochs=1", "thinking.tokens=16"]
    recipe = load_recipe("dpo", [*shared(tmp_path, thinker), *JUDGE, *few, *small])
    directory = RunDirectory.create(tmp_path / "run", recipe)
    summary = execute(directory, Told())
    labelled: list[dict[str, Any]] = read_rows(directory.path / "labels/preferences.jsonl")
    assert all(row["chosen_thought"] is not None for row in labelled)
    assert known(summary.preferences).pairs == len(labelled) > 0
    assert summary.steps > 0


def test_a_recipe_that_does_not_mention_thoughts_is_written_as_before() -> None:
    assert "thinking" not in dump_recipe(load_recipe("quickstart"))
    assert tomllib.loads(dump_recipe(load_recipe("quickstart", ["thinking.tokens=64"])))["thinking"] == {
        "on": True,
        "tokens": 64,
        "unfinished_reward": "abstain",
        "judge_sees_thought": False,
    }


@pytest.mark.parametrize(
    ("recipe", "setting", "word"),
    [
        ("constitutional", "thinking.tokens=64", "thinking"),
        ("quickstart", "thinking.unfinished_reward=nothing", "abstain"),
        ("quickstart", "thinking.tokens=0", "thinking.tokens"),
    ],
)
def test_settings_that_mean_nothing_are_refused(recipe: str, setting: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        load_recipe(recipe, [setting]).check()
