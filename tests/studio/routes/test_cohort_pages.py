"""Cohort files and evaluations of production's answers, over time, with a regression that was planted."""

import json
import os
import re
from html import unescape
from math import log
from pathlib import Path
from typing import Any

import pytest

import preceptor as pc
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import SCRIPTS
from preceptor.core.types import JsonObject
from preceptor.store.preference_row import FailureRow
from preceptor.studio.cohorts.files import paths_of_cohorts, read_cohort_file
from preceptor.studio.cohorts.sources import Sources
from preceptor.studio.context import Studio
from preceptor.studio.folders import Library
from studio_small import Person, make_studio, owner, rater

WEEKS = (("2026-03-03", "old-1", 6), ("2026-03-10", "old-1", 4), ("2026-03-17", "new-2<b>", 18))
"""For each week: the day, the deployed model, and how many of 30 prompts fail."""


def _log(day: str, model: str, number: int, failed: bool) -> JsonObject:
    word = f"{day} {number} " + " ".join(f"{letter}{number}{day[-2:]}" for letter in "abcdefgh")
    return {
        "messages": [{"role": "user", "content": f"What of {word}?"}],
        "response": f"production-said {word}",
        "model": model,
        "time": f"{day}T{number % 24:02}:00:00Z",
        **({"finish_reason": "length"} if failed else {}),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ninety traces of three weeks as a cohort file."""
    work = tmp_path / "work"
    work.mkdir()
    traces = [_log(day, model, i, i < failed) for day, model, failed in WEEKS for i in range(30)]
    pc.cohort(traces, out=work / "data" / "production.jsonl", cohort="shop", mask=False)
    return work


def prompts_in(folder: Path) -> list[dict[str, Any]]:
    """The rows of the cohort file."""
    return [json.loads(line) for line in (folder / "data" / "production.jsonl").read_text().splitlines()]


def judge_by_plan(request: ChooseRequest) -> ChoiceLogProbs:
    """Prefers the other policy's response exactly where it says that it is better, in both orders."""
    text = str(request.prompt)
    mine_first, mine_better = text.rindex("mine-said") < text.rindex("production-said"), "mine-said better" in text
    p_first = 0.9 if mine_first == mine_better else 0.1
    rest = (1 - p_first) / (len(request.choices) - 1)
    return ChoiceLogProbs(tuple(log(rest if i else p_first) for i in range(len(request.choices))))


@pytest.fixture
def evaluated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, with an evaluation in which production lost to another policy where its trace has a sign."""
    monkeypatch.setitem(SCRIPTS, "planned", judge_by_plan)
    other = folder.parent / "mine.jsonl"
    rows = [
        {
            "id": row["id"],
            "prompt": row["conversation"],
            "response": f"mine-said {'better' if row['metadata']['origin']['signals'] else 'worse'}",
        }
        for row in prompts_in(folder)
    ]
    other.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    prompts = str(folder / "data" / "production.jsonl")
    pc.evaluate(answered="answered", mine=str(other), prompts=prompts, judge="scripted:planned", out=folder / "judged")
    return folder


@pytest.fixture
def studio(tmp_path: Path, folder: Path) -> Studio:
    return make_studio(tmp_path / "studio", folder)


@pytest.fixture
def person(studio: Studio) -> Person:
    return owner(studio)


def see(person: Person, path: str) -> str:
    """A page, once what it shows is read."""
    page = person.see(path)
    while "look again" in page:
        page = person.see(path)
    return page


def words(page: str) -> str:
    """A page's text without tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def test_a_regression_is_marked_and_leads_to_its_rows(person: Person) -> None:
    listed = see(person, "/cohorts")
    assert "work/data/production.jsonl" in listed
    assert "badge worse" in listed
    page = see(person, "/cohorts/one?of=work/data/production.jsonl")
    text = words(page)
    assert "new-2<b> 2026-03-17 all together old-1" in text
    assert re.search(r"old-1 17% \[\d+, \d+\] 60 prompts 60% \[\d+, \d+\] 30 prompts \+43", text)
    assert "<svg" in page
    assert "new-2<b>" not in page
    assert "not of all requests in production" in text
    link = re.search(r'href="(/cohorts/failing\?[^"]*model=[^"]+)"', page)
    assert link is not None
    rows = see(person, unescape(link[1]))
    assert rows.count('<th scope="row"') == 18
    assert "the answer was cut off" in rows


def test_a_judges_verdicts_are_joined_with_times_and_lead_to_the_judged_rows(
    evaluated: Path, studio: Studio, person: Person
) -> None:
    page = see(person, "/cohorts/one?of=work/judged&against=mine")
    assert re.search(r"old-1 17% \[\d+, \d+\] 60 prompts 60% \[\d+, \d+\] 30 prompts \+43", words(page))
    rows = see(person, "/cohorts/failing?of=work/judged&against=mine&since=2026-03-16")
    assert rows.count('<th scope="row"') == 18
    found = re.search(r'href="(/rows/row\?[^"]+)"', rows)
    assert found is not None
    shown = re.search(r'<span class="soft id">(\w+)</span>', rows)
    assert shown is not None
    studio.index.update()
    judged = see(person, unescape(found[1]))
    asked = next(row for row in prompts_in(evaluated) if row["id"] == shown[1])["conversation"][0]["content"]
    assert asked in unescape(judged)


def test_without_the_cohort_file_nothing_is_measured(evaluated: Path, person: Person) -> None:
    (evaluated / "data" / "production.jsonl").rename(evaluated.parent / "elsewhere.jsonl")
    page = words(see(person, "/cohorts/one?of=work/judged&against=mine"))
    assert "Not measured" in page
    assert "90 responses whose prompt is in no cohort file" in page
    assert "%" not in page
    assert person.client.get("/cohorts/one?of=work/data/production.jsonl").status_code == 404


def test_only_cohort_files_within_the_folders_are_read(tmp_path: Path, folder: Path) -> None:
    text = (folder / "data" / "production.jsonl").read_text(encoding="utf-8")
    (folder / "prompts.jsonl").write_text('{"prompt": "Why?"}\n', encoding="utf-8")
    (folder / "broken.jsonl").write_text("{\n", encoding="utf-8")
    (tmp_path / "outside.jsonl").write_text(text, encoding="utf-8")
    (folder / "link.jsonl").symlink_to(tmp_path / "outside.jsonl")
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "deep.jsonl").write_text(text, encoding="utf-8")
    os.mkfifo(folder / "pipe.jsonl")
    assert list(paths_of_cohorts(Library([folder]))) == ["work/data/production.jsonl"]


def test_rows_that_cannot_be_placed_in_time_are_said_and_not_counted(folder: Path) -> None:
    path = folder / "data" / "production.jsonl"
    origin: JsonObject = {"signals": ["error"], "model": 3}
    rows = [
        {"prompt": "No time?", "metadata": {"origin": origin}},
        {"prompt": "Wrong time?", "metadata": {"origin": origin | {"time": "yesterday"}}},
        {"prompt": "Before the first day?", "metadata": {"origin": origin | {"time": "0001-01-01T00:00:00+23:00"}}},
        {"prompt": "No model?", "metadata": {"origin": origin | {"time": "2026-03-03"}}},
        {"prompts": "?"},
    ]
    with path.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
        stream.write("not JSON\n")
    read = read_cohort_file("production", path)
    assert (len(read.prompts), read.untimed, read.unusable, read.left_out) == (91, 3, 2, 0)
    assert (read.prompts[-1].model, read.prompts[-1].signs) == (None, ("the call failed",))


def test_too_little_is_called_too_few(tmp_path: Path) -> None:
    work = tmp_path / "few"
    pc.cohort([_log("2026-03-03", "old", 0, True), _log("2026-03-04", "new", 1, True)], out=work / "few.jsonl")
    page = words(see(owner(make_studio(tmp_path / "studio", work)), "/cohorts/one?of=few/few.jsonl"))
    assert page.count("too few (1 prompt)") >= 4
    assert "100%" not in page
    assert "regressed" not in page.split("What the numbers mean")[0]


def test_the_pages_are_the_owners_and_hostile_addresses_are_refused(person: Person, studio: Studio) -> None:
    ada = rater(studio)
    for path in ("/cohorts", "/cohorts/one?of=work/data/production.jsonl", "/cohorts/failing?of=x"):
        assert ada.client.get(path).status_code == 403
    see(person, "/cohorts")
    assert person.client.get("/cohorts/one?of=../../etc/passwd").status_code == 404
    assert person.client.get("/cohorts/failing?of=work/data/production.jsonl&since=<b>").status_code == 400
    assert "0 responses" in words(see(person, "/cohorts/failing?of=work/data/production.jsonl&model=none"))


def test_without_a_cohort_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "preceptor cohort" in see(owner(make_studio(tmp_path / "studio", tmp_path / "empty")), "/cohorts")


def test_what_takes_long_to_read_is_said_and_comes_by_itself(folder: Path) -> None:
    sources, library = Sources(), Library([folder])
    said: list[float] = []
    path = folder / "data" / "production.jsonl"
    path.write_text(path.read_text(encoding="utf-8") * 20, encoding="utf-8")  # 1,800 lines
    read_cohort_file("production", path, said.append)
    assert len(said) == 1
    assert 0.5 < said[0] < 0.6
    sources.ready(library, within_s=0)
    while not sources.ready(library):
        assert "production" in sources.doing
    [source] = sources.all(library)[0]
    assert len(source.responses) == 90


def test_comparisons_without_a_verdict_are_counted_by_cohort(evaluated: Path, person: Person) -> None:
    text = (evaluated / "judged" / "evaluation.json").read_text(encoding="utf-8")
    result = json.loads(text)
    result["judge"]["failures"] = {"no_answer": 3}
    (evaluated / "judged" / "evaluation.json").write_text(json.dumps(result), encoding="utf-8")
    failed = evaluated / "judged" / "judged" / "failures.jsonl"
    rows = [FailureRow(i, "p", "i", "no_answer", "none", cohort=cohort).wire() for i, cohort in enumerate("aab")]
    failed.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert "3 comparisons without a verdict, in the whole evaluation (a 2, b 1)" in words(
        see(person, "/cohorts/one?of=work/judged&against=mine")
    )
