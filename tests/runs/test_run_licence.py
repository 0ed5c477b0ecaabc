"""A judge's licence to train: it lets one judge pass, stops another, and is said first where there is none."""

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.core.types import Rater
from preceptor.evaluation.judges.licence import CANARIES, LicenceTerms, load, save
from preceptor.judging.judge import Judge
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.tasks.audit import audit
from small import RL, known, shared

LABELS = [{"prompt": f"q{i}", "response_a": f"yes {i}", "response_b": f"no {i}", "label": "a"} for i in range(30)]


@pytest.fixture
def licence(tmp_path: Path) -> Path:
    """The licence of the judge that prefers by a hash of the text: no better than chance."""
    path = tmp_path / "judge.licence.toml"
    audit(LABELS, judges="scripted:random", licence=path, progress=Silence())
    return path


def run(folder: Path, policy: Path, *overrides: str, recipe: str = "dpo") -> RunSummary:
    settings = [
        *shared(folder, policy),
        "licence.waived=false",
        "judge.model=scripted:random",
        "judge.variant=detailed",
        *overrides,
    ]
    settings += ["preferences.max_new_tokens=4", "dpo.batch_size=8", "dpo.epochs=1"] if recipe == "dpo" else RL
    loaded = load_recipe(recipe, settings)
    return execute(RunDirectory.create(folder / "run", loaded), Silence())


LENIENT = ("licence.above_chance=false", "licence.above_longer=false")


def test_a_licence_says_what_the_audit_showed(licence: Path) -> None:
    held = load(licence)
    assert (held.judge, held.constitution, held.rows, held.issued) == ("scripted:random", "helpful 1", 30, date.today())
    assert len(held.canaries) == CANARIES
    assert known(held.alignment).low is not None
    text = tomllib.loads(licence.read_text())
    assert json.loads(text["canaries"][0]["request"])["choices"]
    assert held == load(licence)
    people = licence.with_name("people.jsonl")
    people.write_text("".join(json.dumps(row) + "\n" for row in LABELS))
    audit(people, judges="scripted:random", licence=licence, progress=Silence())
    assert load(licence).data == "people.jsonl"


def test_a_licence_counts_the_rows_of_its_alignment(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    audit([*LABELS[:20], *({**row, "label": "tie"} for row in LABELS[20:])], judges="scripted:random", licence=path)
    assert load(path).rows == 20
    audit([{**row, "label": "tie"} for row in LABELS], judges="scripted:random", licence=path)
    assert (load(path).rows, load(path).alignment) == (0, None)


def test_a_judge_at_chance_is_stopped_before_it_trains(tmp_path: Path, tiny_folder: Path, licence: Path) -> None:
    with pytest.raises(UsageError, match="not shown to be above one half"):
        run(tmp_path, tiny_folder, f"licence.file={licence}")
    assert not (tmp_path / "run" / "labels").exists()


def test_a_licence_on_its_terms_lets_the_judge_pass(tmp_path: Path, tiny_folder: Path, licence: Path) -> None:
    summary = run(tmp_path, tiny_folder, f"licence.file={licence}", *LENIENT)
    record = known(summary.licence)
    assert (record.why, record.file, record.rows) == ((), licence.name, 30)
    assert summary.unlicensed is None
    assert "licensed on" in (tmp_path / "run" / "checkpoints" / "best" / "README.md").read_text()


def test_without_a_licence_report_and_card_say_so_first(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(UsageError, match="asks for a judge with a licence"):
        run(tmp_path, tiny_folder)
    assert not (tmp_path / "run").exists()
    summary = run(tmp_path, tiny_folder, "licence.waived=true")
    assert known(summary.licence).why == ("none is named",)
    card = (tmp_path / "run" / "checkpoints" / "best" / "README.md").read_text()
    assert card.index("no licence to train") < card.index("Trained with preceptor")
    report = (tmp_path / "run" / "report.md").read_text()
    assert report.index("no licence to train") < report.index("## Before and after")


def shortcomings(path: Path, terms: dict[str, Any], today: date) -> list[str]:
    licence = load(path)
    rater = Rater(
        model=licence.judge,
        constitution=licence.constitution,
        constitution_hash=licence.constitution_hash,
        settings=json.loads(licence.settings),
    )
    return list(licence.shortcomings(rater, LicenceTerms(**terms), today))


def test_an_old_licence_and_one_for_another_judge_fall_short(licence: Path) -> None:
    lenient = {"above_chance": False, "above_longer": False}
    today = load(licence).issued
    assert shortcomings(licence, lenient, today) == []
    assert "200 days old" in shortcomings(licence, lenient, date.fromordinal(today.toordinal() + 200))[0]
    assert "future" in shortcomings(licence, lenient, date.fromordinal(today.toordinal() - 1))[0]
    assert "one half" in shortcomings(licence, {}, today)[0]


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        (("judge.model=scripted:first",), "is for the model scripted:random"),
        (("judge.constitution=harmless",), "constitution helpful"),
        (("judge.variant=base",), "asked as"),
        (("judge.variant=detailed+single",), "asked as"),
    ],
)
def test_another_judge_is_not_licensed(
    tmp_path: Path, tiny_folder: Path, licence: Path, overrides: tuple[str, ...], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        run(tmp_path, tiny_folder, f"licence.file={licence}", *LENIENT, *overrides)


def test_a_model_that_changed_behind_its_name_is_not_licensed(tmp_path: Path, tiny_folder: Path, licence: Path) -> None:
    held = load(licence)
    turned = tuple(canary.model_copy(update={"p": canary.p[::-1]}) for canary in held.canaries)
    save(held.model_copy(update={"canaries": turned}), licence)
    with pytest.raises(UsageError, match="has changed"):
        run(tmp_path, tiny_folder, f"licence.file={licence}", *LENIENT)


def test_a_file_that_is_no_licence_and_a_licence_over_another_file_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[a]\nb = 1\n")
    with pytest.raises(UsageError, match="not a licence"):
        load(other)
    with pytest.raises(UsageError, match="not replaced"):
        audit(LABELS, judges="scripted:random", licence=other, progress=Silence())
    with pytest.raises(UsageError, match="one judge"):
        audit(LABELS, judges=["scripted:random", "scripted:first"], licence=tmp_path / "l.toml", progress=Silence())


def test_a_second_judge_where_scores_are_in_doubt_is_not_covered(tmp_path: Path, tiny_folder: Path) -> None:
    licence = tmp_path / "scored.toml"
    audit(LABELS, judges=Judge("scripted:random", variant="scored"), licence=licence, progress=Silence())
    second = ("judge.variant=detailed", "judge.escalation.model=scripted:first", "judge.escalation.per_step=2")
    with pytest.raises(UsageError, match="scripted:first judges as well"):
        run(tmp_path, tiny_folder, f"licence.file={licence}", *LENIENT, *second, recipe="direct_rlaif")
