"""`preceptor trajectories`, from labelled comparisons to what it prints and writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.judging.specs import JudgeSpec
from preceptor.results.trajectories import TrajectoriesResult
from preceptor.tasks.label import label
from preceptor.tasks.trajectories import trajectories


def acted(*said: str) -> list[dict[str, Any]]:
    return [
        message
        for text in said
        for message in ({"role": "assistant", "content": text}, {"role": "user", "content": "no"})
    ][:-1]


def comparison(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"c{number}",
        "prompt": f"task {number}",
        "response_a": acted(f"try {number}", "```\n# again", "<b>done</b>"),
        "response_b": acted("guess", f"stop {number}"),
        "policy_a": "agent|one",
        "policy_b": "two",
        "label": "b" if number % 3 == 0 else "a",
        **more,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    rows = [comparison(i) for i in range(9)] + [{"prompt": "q", "response_a": "x", "response_b": "y"}]
    data = write(tmp_path / "data.jsonl", rows)
    judge = JudgeSpec(model="scripted:random")
    label(data, judges=judge, out=tmp_path / "labels", steps=True, progress=Silence())
    return tmp_path / "labels"


def test_labels_become_findings_and_a_report(labels: Path, tmp_path: Path) -> None:
    found = trajectories(labels, good_step=1.0, out=tmp_path / "out")
    assert (found.pairs, found.plain, found.one_succeeded) == (9, 1, 9)
    rows = [json.loads(line) for line in (labels / "preferences.jsonl").read_text().splitlines()]
    agrees = [row["human_p_chosen"] == 1.0 for row in rows if row["human_p_chosen"] is not None]
    assert found.agreement[0].share.value == pytest.approx(sum(agrees) / 9)
    assert found.agreement[-1].share.value == pytest.approx(6 / 9)  # a is the longer one
    assert found.all_steps_good == 18
    assert len(found.misled) == 9  # every one that failed
    assert found.win_rates[0].policy == "two"
    assert found.unscored == 0
    assert json.loads((tmp_path / "out/trajectories.json").read_text()) == found.model_dump(mode="json")
    page = (tmp_path / "out/trajectories.md").read_text()
    assert "agent\\|one" in page
    assert "````text\n[Step 1, assistant]" in page  # the response's own fence cannot close it
    assert found.path == tmp_path / "out"
    assert TrajectoriesResult.load(tmp_path / "out") == found
    shown = str(found)
    assert "report.html" in shown
    assert "wins/ties/losses" in shown


def test_parquet_says_the_same(labels: Path) -> None:
    assert trajectories(labels / "preferences.parquet") == trajectories(labels / "preferences.jsonl")


def test_success_from_the_metadata_in_whichever_place(labels: Path, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = [comparison(i, metadata={"success_a": False, "success_b": True}) for i in range(8)]
    first = told[0]
    told[0] = first | {
        "response_a": first["response_b"],
        "response_b": first["response_a"],
        "metadata": {"success_a": True, "success_b": False},
    }
    told[1]["metadata"] = {"success_a": True, "success_b": True}
    found = trajectories(labels, write(tmp_path / "told.jsonl", told))
    assert found.one_succeeded == 7  # the ninth comparison is not told of, both of the second succeeded
    assert found.agreement[-1].share.value == 0.0  # the shorter one, each time


def test_mistakes_are_answered(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        trajectories(tmp_path / "none")
    with pytest.raises(UsageError, match=r"1 rows but no trajectory"):
        rows = (labels / "preferences.jsonl").read_text().splitlines()
        trajectories(write(tmp_path / "plain.jsonl", [json.loads(rows[-1])]))
    with pytest.raises(UsageError, match=r'data.jsonl:1: "prompt_id" is missing '):
        trajectories(tmp_path / "data.jsonl")
    with pytest.raises(UsageError, match="none of its comparisons has the id of a row"):
        trajectories(labels, write(tmp_path / "other.jsonl", [comparison(0, id="another")]))
    with pytest.raises(UsageError, match=r"metadata.success_b: expected true or false, got 'yes'"):
        trajectories(labels, write(tmp_path / "odd.jsonl", [comparison(0, metadata={"success_b": "yes"})]))
    with pytest.raises(UsageError, match="good_step 11: expected a score from 1 to 10"):
        trajectories(labels, good_step=11)


def test_disputed_comparisons_are_said_to_stand_for_no_others(labels: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (labels / "preferences.jsonl").read_text().splitlines()]
    chosen = write(tmp_path / "chosen.jsonl", [row | {"selection": "disputed"} for row in rows])
    found = trajectories(chosen)
    assert (found.disputed, trajectories(labels / "preferences.jsonl").disputed) == (len(rows), 0)
    assert found.warnings[0].startswith(f"{len(rows)} comparisons were chosen because judges dispute them")
