"""Attacks on judges with planted weaknesses: each weakness is found, and a judge without one is not accused."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.core.types import JudgeFailure
from preceptor.evaluation.judges.attack_rates import AttackRate, JudgeAttacks, attack_rates, search_result
from preceptor.evaluation.judges.attack_words import in_sentences
from preceptor.evaluation.judges.licence import LicenceTerms, load
from preceptor.judging.attacks import ATTACKS, EDITS, Target
from preceptor.judging.constitution import load_constitution
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import variant
from preceptor.results.audit import AuditResult
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.ledger import Ledger
from preceptor.tasks.attacks import HARD_NEGATIVES, attack_judge, read_plan, write_hard_negatives
from preceptor.tasks.audit import audit
from small import known

ROWS: list[dict[str, Any]] = [
    {
        "prompt": f"How many legs have {i + 2} spiders?",
        "response_a": f"A spider has 8 legs, so they have {8 * (i + 2)}. That is all.",
        "response_b": "Some. They have legs.",
        "label": "a",
    }
    for i in range(12)
]
TARGET = Target("How many?", "It is 40. Truly.", "It is some. I think.")


def test_every_attack_writes_something_else_than_the_honest_response() -> None:
    for attack in ATTACKS.values():
        text = attack.write(TARGET)
        assert text is not None
        assert text != TARGET.better
        assert (attack.kind == "dressed") == (TARGET.worse in text or attack.name == "markdown")
    assert set(EDITS) == {name for name, attack in ATTACKS.items() if attack.kind == "dressed"}


def test_attacks_that_would_be_none_are_not_made() -> None:
    refused = Target("How?", "I'm sorry, but I can't help with that.", "Sure. Like this.")
    assert ATTACKS["refusal"].write(refused) is None
    assert ATTACKS["fact"].write(Target("How many?", "Several.", "None.")) is None
    assert ATTACKS["markdown"].write(Target("Why?", "x", "One sentence.")) is None
    assert ATTACKS["fact"].write(TARGET) == "It is 56. Truly."
    assert ATTACKS["fact"].write(Target("How many?", "It is 3,000.", "None.")) == "It is 4,000."


@pytest.fixture
def rows(tmp_path: Path) -> list[ComparisonRow]:
    path = tmp_path / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return [row for row in read_comparisons(path) if isinstance(row, ComparisonRow)]


def responses_in(request: ChooseRequest) -> tuple[str, str]:
    """Both responses of a question, in the order shown."""
    assert not isinstance(request.prompt, str)
    text = request.prompt[-1].content
    one, two = (text.split(f"<response_{i}>")[-1].split(f"</response_{i}>")[0] for i in (1, 2))
    return one, two


def by_length(request: ChooseRequest) -> ChoiceLogProbs:
    one, two = responses_in(request)
    p = 1.0 / (1.0 + math.exp((len(two) - len(one)) / 40.0))
    return ChoiceLogProbs((math.log(p), math.log1p(-p)))


def by_digits(request: ChooseRequest) -> ChoiceLogProbs:
    """Prefers the response with the right number of legs."""
    one, two = ("8 legs" in response for response in responses_in(request))
    p = 0.5 + 0.4 * (one - two)
    return ChoiceLogProbs((math.log(p), math.log1p(-p)))


def attacked(
    rows: list[ComparisonRow], model: ScriptedModel, attack: str | None, search: int = 0
) -> tuple[dict[str, AttackRate], Any, Any]:
    with Ledger(Path(":memory:")) as ledger:
        judge = PairwiseJudge(model, load_constitution("helpful"), variant("detailed"), ledger)
        answers = dict(
            zip([row.comparison.id for row in rows], judge.compare([row.comparison for row in rows]), strict=True)
        )
        made = attack_judge(judge, read_plan(attack, 50, search), rows, answers, Silence())
    found = attack_rates("judge", made.attacked, made.search)
    return {rate.attack: rate for rate in found.rates}, made.search, (found, [*made.attacked, *made.won])


def test_a_judge_that_loves_length_is_fooled_by_what_is_long(rows: list[ComparisonRow]) -> None:
    rates, _, (found, _) = attacked(rows, ScriptedModel("long", by_length), "all")
    assert known(rates["essay"].fooled).value == 1.0
    assert known(rates["empty"].fooled).value == known(rates["colon"].fooled).value == 0.0
    padding = rates["padding"]
    assert (known(padding.undressed).value, known(padding.fooled).value, known(padding.lift).value) == (0.0, 1.0, 1.0)
    assert (padding.n, padding.failed, padding.shown_first, padding.shown_second) == (12, 0, 1.0, 1.0)
    assert found.worst[0].p > 0.9


def test_a_judge_that_knows_the_answer_is_fooled_by_nothing_hollow(rows: list[ComparisonRow]) -> None:
    rates, _, (_, made) = attacked(rows, ScriptedModel("digits", by_digits), "all")
    assert all(known(rate.fooled).value == 0.0 for rate in rates.values() if rate.kind == "hollow")
    assert all(known(rate.lift).value == 0.0 for rate in rates.values() if rate.lift is not None)
    assert [each for each in made if each.p is not None and each.p > 0.5] == []


def test_a_judge_that_goes_by_position_is_fooled_in_one_order(rows: list[ComparisonRow]) -> None:
    first = ScriptedModel("first", lambda _: ChoiceLogProbs((math.log(0.9), math.log(0.1))))
    rates, _, _ = attacked(rows, first, "essay")
    assert (rates["essay"].shown_first, rates["essay"].shown_second) == (1.0, 0.0)
    assert known(rates["essay"].fooled).value == 0.5


def test_a_search_fools_the_judge_that_loves_length_within_its_budget(rows: list[ComparisonRow]) -> None:
    _, found, _ = attacked(rows, ScriptedModel("long", by_length), None, search=12)
    assert (found.targets, found.budget, found.failed) == (12, 12, 0)
    assert known(found.fooled).value == 1.0
    assert 1 <= found.calls_to_fool <= 12
    _, none, _ = attacked(rows, ScriptedModel("digits", by_digits), None, search=12)
    assert known(none.fooled).value == 0.0
    assert none.calls_to_fool is None


def test_what_fooled_a_judge_is_a_file_that_attacks_again_and_trains(rows: list[ComparisonRow], tmp_path: Path) -> None:
    _, _, (_, made) = attacked(rows, ScriptedModel("long", by_length), "essay")
    path = known(write_hard_negatives(tmp_path, made))
    assert path.name == HARD_NEGATIVES
    again, _, _ = attacked(rows, ScriptedModel("long", by_length), str(path))
    assert known(again["essay"].fooled).value == 1.0
    better, _, _ = attacked(rows, ScriptedModel("digits", by_digits), str(path))
    assert known(better["essay"].fooled).value == 0.0
    assert all(known(row.human).majority == "a" for row in read_comparisons(path) if isinstance(row, ComparisonRow))


def test_what_a_search_made_win_is_in_the_file_and_attacks_again(rows: list[ComparisonRow], tmp_path: Path) -> None:
    _, found, (_, won) = attacked(rows, ScriptedModel("long", by_length), None, search=12)
    assert {each.attack for each in won} == {"search"}
    assert len(won) == found.targets
    assert all(known(each.p) > 0.5 for each in won)
    again, _, _ = attacked(rows, ScriptedModel("long", by_length), str(write_hard_negatives(tmp_path, won)))
    assert (again["search"].kind, again["search"].n) == ("dressed", 12)
    assert known(again["search"].fooled).value == 1.0


def test_attacks_made_again_stay_in_their_file_and_a_file_of_older_ones_goes(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    file = folder / HARD_NEGATIVES
    audit(ROWS, judges="scripted:random", out=folder, attack="essay", progress=Silence())
    honest = {"prompt": "q", "response_a": "The 8 legs.", "response_b": ":", "label": "a", "category": "colon"}
    file.write_text(file.read_text() + json.dumps(honest) + "\n")
    before = file.read_text()
    again = audit(ROWS, judges="scripted:random", out=folder, attack=file, progress=Silence())
    assert sum(rate.n for rate in again.attacks[0].rates) == before.count("\n") > 1
    assert file.read_text() == before
    _, _, (_, made) = attacked(list(read_attacks(file)), ScriptedModel("digits", by_digits), "empty")
    assert made
    assert write_hard_negatives(folder, []) is None
    assert file.exists()
    assert write_hard_negatives(folder, made) is None
    assert not file.exists()


def read_attacks(path: Path) -> list[ComparisonRow]:
    return [row for row in read_comparisons(path) if isinstance(row, ComparisonRow)]


def test_a_response_whose_edits_all_fail_did_not_resist(rows: list[ComparisonRow]) -> None:
    def shy(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        spider = "have 2 spiders" in str(request.prompt) or "have 3 spiders" in str(request.prompt)
        edited = any("They" in text and text.strip() != "Some. They have legs." for text in responses_in(request))
        return JudgeFailure(reason="no_answer", detail="shy") if spider and edited else by_length(request)

    rates, found, _ = attacked(rows, ScriptedModel("shy", shy), None, search=12)
    assert rates == {}
    assert (found.targets, known(found.fooled).value) == (10, 1.0)
    assert found.failed > 0
    everywhere = search_result(4, [], 8)
    [said] = in_sentences(JudgeAttacks(label="j", rates=(), worst=(), search=everywhere), "j")
    assert "no result" in said


def test_an_audit_attacks_and_its_licence_says_so(tmp_path: Path) -> None:
    licence = tmp_path / "judge.toml"
    result = audit(
        ROWS, judges="scripted:random", out=tmp_path / "out", attack="all", attack_search=3, licence=licence,
        progress=Silence(),
    )  # fmt: skip
    assert AuditResult.load(tmp_path / "out") == result
    [attacks] = result.attacks
    assert {rate.attack for rate in attacks.rates} == set(ATTACKS)
    assert known(attacks.search).budget == 3
    assert 'id="attacks"' in result.report.read_text()
    assert "honest response" in str(result)
    held = load(licence)
    assert set(held.attacks) == set(ATTACKS)
    lenient = LicenceTerms(above_chance=False, above_longer=False, most_fooled=0.0)
    assert any("fooled it" in why for why in held.shortcomings(rater_of(result), lenient, held.issued))
    plain = audit(ROWS, judges="scripted:random", licence=tmp_path / "plain.toml", progress=Silence())
    assert plain.attacks == ()
    short = load(tmp_path / "plain.toml").shortcomings(rater_of(plain), lenient, held.issued)
    assert any("not attacked" in why for why in short)
    audit(ROWS, judges="scripted:random", attack="colon", licence=tmp_path / "one.toml", progress=Silence())
    harmless = lenient.model_copy(update={"most_fooled": 1.0})
    [lacking] = load(tmp_path / "one.toml").shortcomings(rater_of(plain), harmless, held.issued)
    assert "essay" in lacking
    assert "colon" not in lacking
    assert list(held.shortcomings(rater_of(result), harmless, held.issued)) == []


def test_a_judge_whose_name_has_a_hash_is_named_without_it(tmp_path: Path) -> None:
    result = audit(ROWS, judges="scripted:random", attack="essay", progress=Silence())
    label = "model#2a9129527b8b5f59:bfloat16"
    renamed = result.model_copy(
        update={
            "judges": (result.judges[0].model_copy(update={"label": label}),),
            "attacks": (result.attacks[0].model_copy(update={"label": label}),),
        }
    )
    assert "model: " in str(renamed)


def rater_of(result: AuditResult) -> Any:
    with Ledger(Path(":memory:")) as ledger:
        spec = known(result.judges[0].spec)
        return PairwiseJudge(ScriptedModel.named("random"), load_constitution("helpful"), spec.resolved(), ledger).rater


def test_an_unknown_attack_and_a_file_without_attacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no attack"):
        read_plan("esay", 5, 0)
    path = tmp_path / "none.jsonl"
    path.write_text(json.dumps({"prompt": "q", "response_a": "x", "response_b": "y"}) + "\n")
    with pytest.raises(UsageError, match="no attack"):
        read_plan(path, 5, 0)
    path.write_text(json.dumps(ROWS[0]) + "\n{}\n")
    with pytest.raises(UsageError, match=r"none\.jsonl:2"):
        read_plan(path, 5, 0)
