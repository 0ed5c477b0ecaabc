"""Versions of a constitution: found by hash, compared on the same rows, tried, saved."""

import re
import time
from pathlib import Path

import pytest

import preceptor as pc
from preceptor.core.raters import ConstitutionName
from preceptor.evaluation.intervals import Estimate
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.kept import keep_constitutions, kept_constitutions
from preceptor.results.tuning import TuneResult, Wording
from preceptor.store.ledger import NO_CALLS
from preceptor.store.output import output_folder
from preceptor.store.own_folder import mark
from preceptor.studio.constitutions.compared import compared
from preceptor.studio.constitutions.versions import SHIPPED, versions
from preceptor.studio.folders import Library
from studio_small import Person, comparisons, make_studio, owner

DRAFT = """
name = "helpful"
version = "2"
summary = "Short answers first."
principles = ["Prefer the shorter response."]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two folders of labels of the same 40 rows, by two versions; 20 rows have people's labels."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "short.toml").write_text(DRAFT, encoding="utf-8")
    rows = [row | ({"label": "a"} if i < 20 else {}) for i, row in enumerate(comparisons(40))]
    for name, constitution in (("one", "helpful"), ("two", str(mine / "short.toml"))):
        pc.label(rows, judges=[pc.JudgeSpec(model="scripted:random", constitution=constitution)], out=mine / name)
    return mine


def test_every_version_is_known_by_its_text_and_its_uses(folder: Path, tmp_path: Path) -> None:
    known = {version.hash: version for version in versions(Library([folder]), tmp_path / "none")}
    helpful = known[load_constitution("helpful").hash]
    short = known[load_constitution(str(folder / "short.toml")).hash]
    assert helpful.places == (SHIPPED, "mine/one/constitutions")
    assert [(use.work.name, use.what) for use in short.uses] == [("mine/two", "labelled 40 comparisons")]
    (folder / "short.toml").unlink()
    gone = {version.hash: version for version in versions(Library([folder]), tmp_path / "none")}[short.hash]
    assert gone.places == ("mine/two/constitutions",)
    assert gone.constitution == short.constitution


def test_a_kept_copy_that_was_altered_is_not_what_its_name_says(tmp_path: Path) -> None:
    helpful = load_constitution("helpful")
    keep_constitutions(tmp_path, [helpful])
    assert kept_constitutions(tmp_path) == [helpful]
    path = tmp_path / "constitutions" / f"{helpful.hash}.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("Prefer", "Avoid", 1).replace('version = "', 'version = "9', 1)
    )
    assert kept_constitutions(tmp_path) == []


def test_two_versions_are_compared_on_the_rows_that_both_labelled(folder: Path) -> None:
    one, two = Library([folder]).works("labels")
    hashes = [load_constitution(name).hash for name in ("helpful", str(folder / "short.toml"))]
    result = compared(one, two, *hashes)
    assert result is not None
    assert result.rows == 40
    first, second = ({row.id: row for row in pc.LabelResult.load(work.path)} for work in (one, two))
    changed = [name for name in first if (first[name].p_a > 0.5) != (second[name].p_a > 0.5)]
    assert result.changed_rows == len(changed) > 0
    assert {row.id for row in result.changed} == set(changed)
    assert result.agreement is not None
    assert result.agreement.value == pytest.approx(1 - len(changed) / 40)
    right = [sum(rows[f"r{i}"].p_a > 0.5 for i in range(20)) / 20 for rows in (first, second)]
    assert result.before.alignment is not None
    assert result.after.alignment is not None
    assert [result.before.alignment.value, result.after.alignment.value] == pytest.approx(right)
    assert result.alignment_change is not None
    assert result.alignment_change.value == pytest.approx(right[1] - right[0])
    assert not result.other_judge
    assert compared(one, two, hashes[0], "another") is None


@pytest.fixture
def person(tmp_path: Path, folder: Path) -> Person:
    return owner(make_studio(tmp_path / "studio", folder))


def test_the_pages_name_versions_uses_and_changed_rows(person: Person, folder: Path) -> None:
    hashes = [load_constitution(name).hash for name in ("helpful", str(folder / "short.toml"))]
    assert "mine/two: labelled 40 comparisons" in person.see("/constitutions")
    assert "Prefer the shorter response." in person.see(f"/constitutions/{hashes[1]}")
    page = person.see(f"/constitutions/compare?before={hashes[0]}&after={hashes[1]}")
    assert "On the same 40 rows" in page
    assert "<ins>+version = &#34;2&#34;</ins>" in page
    assert re.search(r'<a href="/rows/row\?of=mine/one&id=r\d+">r\d+</a>', page)
    (folder / "short.toml").write_text(DRAFT.replace('"2"', '"3"').replace("Short", "Few"), encoding="utf-8")
    newer = load_constitution(str(folder / "short.toml")).hash
    page = person.see(f"/constitutions/compare?before={hashes[1]}&after={newer}")  # one as kept, one as written
    changed = re.findall(r"<(?:ins|del)>(.*?)</(?:ins|del)>", page)
    assert [line[:8] for line in changed] == ["-version", "-summary", "+version", "+summary"]
    assert person.client.get("/constitutions/compare?before=x&after=y").status_code == 404


def name_of(constitution: Constitution) -> ConstitutionName:
    return ConstitutionName(name=constitution.name, version=constitution.version, hash=constitution.hash)


@pytest.fixture
def searched(tmp_path: Path) -> tuple[Path, Constitution, Constitution]:
    """A folder of a search that found a better wording, the original, and that wording."""
    first = load_constitution("helpful")
    better = first.model_copy(update={"version": "1, reworded", "principles": ("Be brief.", *first.principles[1:])})
    folder, gain = tmp_path / "mine" / "tuned", Estimate(value=0.5, low=0.25, high=0.75, n=20)
    folder.mkdir(parents=True)
    keep_constitutions(folder, [first, better])
    mark(folder, "tuning")
    TuneResult(
        judge="j",
        variant="detailed",
        writer="w",
        original=name_of(first),
        best=name_of(better),
        wordings=(
            Wording(constitution=name_of(first), parent=None, changed=(), score=0.4),
            Wording(constitution=name_of(better), parent=first.hash, changed=("principle 1",), score=0.875),
        ),
        learning_rows=20,
        validation_rows=20,
        test_rows=20,
        before=Estimate(value=0.25, low=0.1, high=0.4, n=20),
        after=Estimate(value=0.75, low=0.6, high=0.9, n=20),
        gain=gain,
        comparisons=60,
        malformed=0,
        test_failures=0,
        ledger=NO_CALLS,
        environment={},
    ).save(output_folder(folder))
    return folder.parent, first, better


def test_every_wording_of_a_search_is_shown_with_what_it_gave(
    searched: tuple[Path, Constitution, Constitution], tmp_path: Path
) -> None:
    folder, first, better = searched
    person = owner(make_studio(tmp_path / "studio", folder))
    of_first, of_better = (person.see(f"/constitutions/{each.hash}") for each in (first, better))
    assert "0.400 on the validation rows" in of_first
    assert "agrees more with people" not in of_first
    assert f"principle 1 of {first.hash[:8]} reworded" in of_better
    [result] = re.findall(r">(The new wording.*?)</td>", of_better)
    assert "+50 points [+25, +75]" in result
    page = person.see(f"/constitutions/compare?before={first.hash}&after={better.hash}")
    assert page.index("0.400") < page.index("0.875") < page.index("agrees more with people")


def test_a_draft_is_tried_on_some_rows_and_saved_as_a_new_version(person: Person, folder: Path, tmp_path: Path) -> None:
    base = load_constitution("helpful").hash
    draft = DRAFT.replace('"2"', '"3"')
    page = person.send(
        f"/constitutions/{base}/try", text=draft, source="mine/one", model="scripted:random", rows="8", variant=""
    )
    assert "a draft on 8 rows" in page
    end = time.monotonic() + 60
    while "Judging" in page and time.monotonic() < end:
        page = person.client.get(f"/constitutions/{base}/trials/1/progress").text
    assert "8 of 8 rows have a verdict" in page
    assert "On the same 8 rows" in page
    saved = person.send(f"/constitutions/{base}/save", text=draft)
    assert str(tmp_path / "studio" / "constitutions" / "helpful-3.toml") in saved
    assert f"/constitutions/compare?before={base}&after=" in saved
    assert (tmp_path / "studio" / "constitutions" / "helpful-3.toml").read_text(encoding="utf-8") == draft
    assert "helpful 3" in re.sub(r"\s+", " ", person.see("/constitutions"))


def test_a_faulty_draft_and_a_version_that_exists_are_refused_without_losing_the_text(person: Person) -> None:
    base = load_constitution("helpful").hash
    for text, said in (
        ("name = 3", "the draft"),
        (DRAFT.replace("principles", "principals"), "principals"),
        (DRAFT.replace('"2"', '"1"'), "raise `version`"),
    ):
        response = person.client.post(
            f"/constitutions/{base}/save", data={"csrf": person.csrf(), "text": text + "# my work"}
        )
        assert response.status_code == 400
        assert said in response.text
        assert "# my work" in response.text
