"""The pages of rows: a filter in the address, a permanent link for every row, an export in the rows' own form."""

import html
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

import preceptor as pc
from preceptor.core.types import JsonObject, Message
from preceptor.store.for_people import question as question_for_people
from preceptor.store.preference_row import FailureRow
from preceptor.store.selection import NOT_SAID
from preceptor.studio.context import Studio
from preceptor.studio.people import assign, ratings
from preceptor.studio.people.raters import invite, sign_in, visitor
from studio_people import rate
from studio_small import Person, make_queue, make_studio, owner, rater

HOSTILE = "a/b?c=<d>&\"e'☃"


def said(text: str, role: str = "assistant") -> tuple[Message, ...]:
    return (Message.model_validate({"role": role, "content": text}),)


def _rows() -> list[JsonObject]:
    rows: list[JsonObject] = [
        {
            "id": f"r{i}", "prompt": f"Question {i} about {'whales' if i % 2 else 'bread'}?", "cohort": f"c{i % 2}",
            "response_a": "short <script>alert(1)</script>", "response_b": "a longer answer " * (i + 1),
        }
        for i in range(6)
    ]  # fmt: skip
    rows[0]["label"] = "a"
    rows[5]["id"] = HOSTILE
    return [*rows, {"id": "bad"}]


@pytest.fixture
def labels(tmp_path: Path) -> pc.LabelResult:
    return pc.label(_rows(), judges="scripted:random", out=tmp_path / "work" / "labels")


@pytest.fixture
def studio(tmp_path: Path, labels: pc.LabelResult) -> Studio:
    made = make_studio(tmp_path / "studio", tmp_path / "work")
    made.index.update()
    return made


@pytest.fixture
def person(studio: Studio) -> Person:
    return owner(studio)


def test_the_list_shows_what_the_filter_leaves_and_every_link_keeps_it(person: Person) -> None:
    page = person.see("/rows?words=whales&sort=-length")
    links = re.findall(r'href="(/rows/row[^"]+)"', page)
    assert len(links) == 3
    assert all("words=whales" in link and "sort=-length" in link for link in links)
    assert "3 rows" in page
    texts = [person.see(html.unescape(link)) for link in links]
    assert html.escape(HOSTILE).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in texts[0]  # the longest
    assert all("<script>alert" not in text for text in texts)


def test_a_filter_that_is_a_mistake_says_so(person: Person) -> None:
    refused = person.client.get("/rows?p_from=high")
    assert refused.status_code == 400
    assert "expected a number" in refused.text
    assert person.client.get("/rows?page=0").status_code == 400
    assert "No row fits" in person.see("/rows?words=" + quote('" OR NEAR( \0'))
    assert person.see(f"/rows?folder={quote(chr(34) + '><script>')}&cohort=%00")


def test_a_row_has_its_verdicts_neighbours_and_calls(person: Person, labels: pc.LabelResult) -> None:
    [first, second, *_] = labels
    page = person.see("/rows/row?of=work/labels&id=r1&sort=written")
    assert f"{second.p_a:.4f}" in page
    assert all(f"{verdict.p_a:.4f}" in page for verdict in second.verdicts)
    assert "id=r0" in page
    assert "id=r2" in page
    assert "100%" in person.see("/rows/row?of=work/labels&id=r0")  # of people prefer a
    recorded = person.see("/rows/calls?of=work/labels&id=r0")
    assert len(re.findall('<details class="call">', recorded)) == 2  # both orders
    assert "Question 0 about bread?" in recorded
    assert first.id == "r0"
    assert "Question 0" in person.see("/rows/calls?of=work/labels&id=r0&whole=1")


def test_a_failure_says_why(person: Person) -> None:
    page = person.see("/rows?what=failures")
    [link] = re.findall(r'href="(/rows/row[^"]+)"', page)
    assert "malformed" in person.see(html.unescape(link))


def test_a_failure_has_its_texts_and_a_cohort(person: Person, labels: pc.LabelResult, studio: Studio) -> None:
    texts = {"prompt": said("Why <i>?", "user"), "response_a": said("a <b>"), "response_b": said("**loud**")}
    failed = FailureRow(7, "data:8", "r7", "no_answer", "neither 1 nor 2", cohort="c1", **texts)
    with (labels.path / "failures.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(failed.wire()) + "\n")
    studio.index.update()
    assert "1 row<" in person.see("/rows?what=failures&cohort=c1&words=loud")
    page = person.see("/rows/row?of=work/labels&id=r7&file=failures.jsonl&line=1")
    assert "no_answer" in page
    assert "Why &lt;i&gt;?" in page
    assert "<strong>loud</strong>" in page
    assert "/rows/calls?" in page
    assert "No call" in person.see("/rows/calls?of=work/labels&id=r7&file=failures.jsonl&line=1")
    [malformed] = re.findall(r'href="(/rows/row[^"]+)"', person.see("/rows?what=failures&words=expected"))
    assert "/rows/calls?" not in person.see(html.unescape(malformed))  # there is no text


@pytest.mark.parametrize(
    "address",
    [
        "of=work/labels&id=none",
        "of=../secret&id=r0",
        "of=work/labels&id=r0&file=../x",
        "of=work/labels&id=r0&line=7",
        "",
    ],
)
def test_there_is_no_way_to_other_rows(person: Person, address: str) -> None:
    assert person.client.get(f"/rows/row?{address}").status_code == 404


def test_a_row_of_best_of_n_has_the_best_response_and_all_rewards(tmp_path: Path) -> None:
    run = tmp_path / "work" / "run"
    run.mkdir(parents=True)
    (run / "inputs.json").write_text("{}")
    best = {"text": "Because <b>whales</b> do.", "finished": False}
    prompts = [{"id": name, "cohort": "all", "text": f"<i>Why</i> {name}?"} for name in ("p1", "p2")]
    line = {"best": [best, None], "rewards": [[0.5, None, -1.25], [1.0, 1.0, 1.0]], "prompts": prompts}
    (run / "best_of_n.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line | {"prompts": None}) + "\n")
    studio = make_studio(tmp_path / "studio", tmp_path / "work")
    studio.index.update()
    person = owner(studio)
    listed = person.see("/rows?what=scores")
    for part in ("best_of_n", "&lt;i&gt;Why&lt;/i&gt; p1?", ">0.50</td>", ">1.00</td>", "prompt 3"):
        assert part in listed
    page = person.see("/rows/row?of=work/run&id=p1&file=best_of_n.jsonl&line=0")
    for part in ("&lt;b&gt;whales&lt;/b&gt;", "0.5000, ", "-1.2500", "failed", "cut at the length limit"):
        assert part in page
    assert "No response was chosen" in person.see("/rows/row?of=work/run&id=p2")
    assert "number 3 of the run" in person.see("/rows/row?of=work/run&id=prompt+3")
    exported = person.client.get("/rows/export?what=scores").text.splitlines()
    assert [json.loads(row)["rewards"][0] for row in exported] == [0.5, 1.0, 0.5, 1.0]
    assert person.client.get("/rows/calls?of=work/run&id=p1").status_code == 404


def test_a_row_that_is_gone_from_its_file_is_said_to_be(person: Person, labels: pc.LabelResult) -> None:
    file = labels.path / "preferences.jsonl"
    file.write_text(file.read_text().replace('"r0"', '"r9"'))
    gone = person.client.get("/rows/row?of=work/labels&id=r0")
    assert gone.status_code == 400
    assert "another row" in gone.text


def test_the_export_is_the_filtered_rows_as_they_were_written(person: Person, labels: pc.LabelResult) -> None:
    exported = person.client.get("/rows/export?cohort=c1&sort=-length")
    rows = [json.loads(line) for line in exported.text.splitlines()]
    expected = [json.loads(json.dumps(row.wire())) for row in labels if row.cohort == "c1"]
    assert rows == list(reversed(expected))
    assert "judgements.jsonl" in exported.headers["content-disposition"]
    failures = person.client.get("/rows/export?what=failures").text
    assert json.loads(failures)["reason"] == "malformed"


def test_what_people_said_in_a_queue_stands_beside_the_row(studio: Studio) -> None:
    queue = make_queue(
        studio.people, [{"id": "r2", "prompt": "q", "response_a": "a", "response_b": "b"}], name="round 1"
    )
    session = sign_in(studio.people, invite(studio.people, "Ada"))
    ada = visitor(studio.people, session or "")
    assert ada is not None
    assignment = assign.next_row(studio.people, queue, ada.id)
    assert assignment is not None
    ratings.record(studio.people, assignment, ratings.Choice(choice="tie"), ratings.Remarks(reason="Both <b>fine</b>."))
    page = owner(studio).see("/rows/row?of=work/labels&id=r2")
    assert "Ada" in page
    assert "equally good" in page
    assert "Both &lt;b&gt;fine&lt;/b&gt;." in page
    assert "Ada" not in owner(studio).see("/rows/row?of=work/labels&id=r1")


def test_rows_are_filtered_by_what_raters_of_the_studio_said(studio: Studio, labels: pc.LabelResult) -> None:
    ada = owner(studio)
    assert "Rated in the studio" not in ada.see("/rows")
    row = next(row for row in labels if row.id == "r2")
    question = question_for_people(row, NOT_SAID) | {"id": "another"}
    queue = make_queue(studio.people, [question])
    rate(studio.people, queue, "Ada", {"another": "b" if row.chosen_is == "a" else "a"})
    page = ada.see("/rows?rated=differ")
    assert "1 row<" in page
    assert "id=r2" in page
    assert "raters differ" in page
    assert "id=r2" not in ada.see("/rows?rated=agree")
    assert "5 rows<" in ada.see("/rows?rated=not+rated")
    assert [json.loads(line)["id"] for line in ada.client.get("/rows/export?rated=rated").text.splitlines()] == ["r2"]
    assert "rated=differ" in ada.see("/rows/row?of=work/labels&id=r2&rated=differ")


def test_raters_do_not_see_rows(studio: Studio) -> None:
    visitor_ = rater(studio)
    paths = (
        "/rows",
        "/rows/progress",
        "/rows/row?of=work/labels&id=r0",
        "/rows/calls?of=work/labels&id=r0",
        "/rows/export",
    )
    assert [visitor_.client.get(path).status_code for path in paths] == [403] * 5


def test_the_progress_ends_when_everything_is_indexed(person: Person) -> None:
    ended = person.client.get("/rows/progress")
    assert ended.status_code == 286
    assert "7" in ended.text
