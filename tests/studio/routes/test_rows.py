"""Rows are found by what they hold, opened by a lasting address, and exported as they stand."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

import preceptor as pc
from preceptor.core.types import JsonObject
from preceptor.store.calls import calls_with
from preceptor.studio.folders import Library
from preceptor.studio.rows.index import Index
from preceptor.studio.rows.search import Filter, count, every, find, match_query, neighbours, page_of
from studio_small import Person, make_studio, owner


def _rows() -> list[JsonObject]:
    """Rows of two cohorts, of which three have people's labels; one has an id of every kind of character."""
    rows: list[JsonObject] = [
        {
            "id": f"r{i}", "prompt": f"Question {i} about {'whales' if i % 2 else 'bread'}?", "cohort": f"c{i % 2}",
            "response_a": "short", "response_b": "a longer answer " * (i + 1),
        }
        for i in range(6)
    ]  # fmt: skip
    rows[0]["label"], rows[1]["label"], rows[2]["label"] = "a", "b", "tie"
    rows[5]["id"] = "a/b?c=<d>&\"e'☃"
    return [*rows, {"id": "bad"}]


@pytest.fixture
def labels(tmp_path: Path) -> pc.LabelResult:
    return pc.label(_rows(), judges="scripted:random", out=tmp_path / "work" / "labels")


@pytest.fixture
def index(tmp_path: Path, labels: pc.LabelResult) -> Index:
    made = Index(tmp_path / "index.sqlite", Library([tmp_path / "work"]))
    made.finish()
    return made


@pytest.fixture
def person(tmp_path: Path, labels: pc.LabelResult) -> Person:
    visitor = owner(make_studio(tmp_path / "studio", tmp_path / "work"))
    page = visitor.see("/rows")
    while "0 rows" in page or "reading the files" in page:
        page = visitor.see("/rows")
    return visitor


def _ids(index: Index, **wanted: str) -> list[str]:
    found = page_of(index, Filter(**wanted), 1)
    assert count(index, Filter(**wanted)) == len(found)
    return [row.name for row in found]


def test_each_setting_of_a_filter_finds_the_rows_that_it_says(index: Index, labels: pc.LabelResult) -> None:
    rows = {row.id: row for row in labels}
    assert len(_ids(index)) == 7
    assert _ids(index, kind="failures") == [""]
    assert _ids(index, cohort="c1") == [name for name, row in rows.items() if row.cohort == "c1"]
    assert _ids(index, human="any") == ["r0", "r1", "r2"]
    agree = [name for name, side in (("r0", "a"), ("r1", "b")) if (rows[name].p_a > 0.5) == (side == "a")]
    assert _ids(index, human="agrees") == agree
    assert sorted([*_ids(index, human="agrees"), *_ids(index, human="differs")]) == ["r0", "r1"]
    assert _ids(index, p_from="0.5") == [name for name, row in rows.items() if row.p_a >= 0.5]
    flips = {
        name: (verdicts["ab"] - 0.5) * (verdicts["ba"] - 0.5) < 0
        for name, row in rows.items()
        for verdicts in [{verdict.order: verdict.p_a for verdict in row.verdicts}]
    }
    assert _ids(index, flipped="yes") == [name for name, flip in flips.items() if flip]
    disputed = sorted(rows, key=lambda name: -rows[name].disagreement)
    assert [name for name in _ids(index, sort="disputed") if name] == disputed
    assert _ids(index, kind="labels", sort="long")[-1] == "r0"


def test_words_are_found_in_prompts_and_responses_and_never_read_as_a_query(index: Index) -> None:
    assert _ids(index, words="whales") == _ids(index, words="WHALE") == _ids(index, cohort="c1")
    assert _ids(index, words="question whales 3") == ["r3"]
    assert _ids(index, words="nothing") == []
    for hostile in ('"', "a AND", "NEAR(", "* OR *", "text:x", "-", "'; DROP TABLE rows; --", "(", "\x00"):
        count(index, Filter(words=hostile))
    assert match_query('a" OR b') == '"a"* AND "OR"* AND "b"*'
    assert match_query("--") is None


def test_rows_that_are_appended_are_found_and_another_file_is_read_anew(index: Index, labels: pc.LabelResult) -> None:
    file = labels.path / "preferences.jsonl"
    whole = file.read_text(encoding="utf-8")
    first = whole.splitlines(keepends=True)[0]
    with file.open("a", encoding="utf-8") as stream:
        stream.write(first.replace('"r0"', '"r6"') + "no JSON\n" + first[:50])
    index.finish()
    assert _ids(index, kind="labels")[-1] == "r6"
    assert index.state().unusable == 1
    file.write_text(first.replace('"r0"', '"z"'), encoding="utf-8")
    index.finish()
    assert _ids(index, kind="labels") == ["z"]
    assert _ids(index, words="whales") == []
    file.unlink()
    index.finish()
    assert _ids(index, kind="labels") == []


def test_a_damaged_index_is_made_anew(tmp_path: Path, labels: pc.LabelResult) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"no database" * 100)
    made = Index(path, Library([tmp_path / "work"]))
    made.finish()
    assert len(_ids(made)) == 7


def test_a_row_knows_its_neighbours_within_the_filter(index: Index) -> None:
    wanted = Filter(cohort="c1", sort="long")
    order = [row.line for row in page_of(index, wanted, 1)]
    row = find(index, "work/labels", "preferences.jsonl", order[1])
    assert row is not None
    before, after = neighbours(index, wanted, row)
    assert (before and before.line, after and after.line) == (order[0], order[2])
    assert [row.line for row in every(index, wanted)] == order


def test_the_page_of_a_row_shows_verdicts_people_and_calls(person: Person, labels: pc.LabelResult) -> None:
    row = next(iter(labels))
    page = person.see("/rows/row?of=work%2Flabels&file=preferences.jsonl&line=0")
    assert f"{row.p_a:.4f}" in page
    assert all(f"{verdict.p_a:.4f}" in page for verdict in row.verdicts)
    recorded = person.see("/rows/calls?of=work%2Flabels&file=preferences.jsonl&line=0")
    assert "Question 0 about bread?" in recorded
    assert len(re.findall("<details>", recorded)) == 2  # both orders
    assert person.client.get("/rows/row?of=work%2Flabels&file=../x&line=0").status_code == 404
    failure = person.see("/rows/row?of=work%2Flabels&file=failures.jsonl&line=0")
    assert "prompt" in failure


def test_any_id_can_be_opened_and_the_filter_stands_in_the_address(person: Person) -> None:
    page = person.see("/rows?words=whales&sort=long")
    links = re.findall(r'href="(/rows/row[^"]+)"', page)
    assert len(links) == 3
    assert all("words=whales" in link for link in links)
    texts = [person.see(link.replace("&amp;", "&")) for link in links]
    assert any("a/b?c=&lt;d&gt;&amp;&#34;e&#39;☃" in text for text in texts)
    assert person.see(f"/rows?folder={quote(chr(34) + '><script>')}")


def test_what_is_exported_is_what_the_files_hold(person: Person, labels: pc.LabelResult) -> None:
    text = person.client.get("/rows/export?cohort=c0").text
    exported = [json.loads(line) for line in text.splitlines()]
    assert exported == [json.loads(json.dumps(row.wire())) for row in labels if row.cohort == "c0"]


def test_calls_are_found_by_texts_with_any_character(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response_a": 'He said "no"\n\\ ☃', "response_b": "other"}]
    labels = pc.label(rows, judges="scripted:random", out=tmp_path / "labels")
    ledger = labels.path / "ledger.sqlite"
    assert len(calls_with(ledger, ['He said "no"\n\\ ☃', "other"])) == 2
    assert calls_with(ledger, ["He said no"]) == []
