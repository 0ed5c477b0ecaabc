"""The one class that reads and writes labelled rows, against files that 0.1.0 wrote."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import FailureRow, PreferenceRow
from preceptor.store.rows import Malformed, read_raw_rows
from preceptor.store.selection import DISPUTED, NOT_SAID, Selection
from store.preference_examples import ACTED, FAILURES_0_1_0, PREFERENCES_0_1_0, failed, labelled


def raw(path: Path = PREFERENCES_0_1_0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read() -> list[PreferenceRow]:
    return [PreferenceRow.read(row, place) for place, row in read_raw_rows(PREFERENCES_0_1_0)]


def without_texts(row: FailureRow) -> FailureRow:
    """The row as versions wrote it that left texts out."""
    return replace(row, cohort=None, prompt=None, response_a=None, response_b=None)


def test_the_files_are_byte_for_byte_those_of_0_1_0(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    outcomes.append(
        [PreferenceRow.of(*each) for each in labelled()], [without_texts(FailureRow.of(*each)) for each in failed()]
    )
    assert outcomes.preferences.read_bytes() == PREFERENCES_0_1_0.read_bytes()
    assert outcomes.failures.read_bytes() == FAILURES_0_1_0.read_bytes()


def test_what_is_read_is_what_was_written() -> None:
    assert [row.wire() for row in read()] == raw()
    assert read() == [PreferenceRow.of(*each) for each in labelled()]
    failures = [FailureRow.read(row, place) for place, row in read_raw_rows(FAILURES_0_1_0)]
    assert failures == [without_texts(FailureRow.of(*each)) for each in failed()]


def test_a_failure_keeps_what_was_compared() -> None:
    malformed, judged, unanswered = (FailureRow.of(*each) for each in failed())
    assert (malformed.prompt, unanswered.prompt, unanswered.cohort) == (None, None, None)
    given = failed()[1][0]
    assert isinstance(given, ComparisonRow)
    compared = given.comparison
    assert judged.cohort == compared.prompt.cohort
    assert judged.prompt == compared.prompt.conversation
    assert (judged.response_a, judged.response_b) == (compared.a.messages, compared.b.messages)
    assert FailureRow.read(json.loads(json.dumps(judged.wire())), "f:1") == judged


def test_what_belongs_to_a_and_b_is_what_was_compared() -> None:
    for row, (given, preference, _) in zip(read(), labelled(), strict=True):
        comparison = preference.comparison
        assert row.p_a == pytest.approx(preference.p_a)
        assert row.human_p_a == (None if given.human is None else pytest.approx(given.human.p_a))
        assert row.policies == (comparison.a.policy, comparison.b.policy)
        assert row.likeliest_answer == preference.likeliest
        prompt = comparison.prompt.model_copy(update={"reference": None, "metadata": {}})
        assert row.comparison() == comparison.model_copy(update={"prompt": prompt})
    wins, loses, half, *_ = read()
    assert (wins.p_a, loses.p_a, half.p_a) == (0.75, pytest.approx(0.175), 0.5)
    assert (wins.chosen_is, loses.chosen_is, half.chosen_is) == ("a", "b", "a")
    assert (wins.human_p_a, loses.human_p_a) == (0.75, pytest.approx(0.3))


def test_whose_response_a_is() -> None:
    row = read()[1]  # b was chosen; the policy of b is not known
    assert (row.a_is_by("base@0"), row.a_is_by("unknown"), row.a_is_by("other")) == (True, False, None)
    same = row.model_copy(update={"chosen_policy": "base@0"})
    assert same.a_is_by("base@0") is None


def test_a_trajectory_stays_one() -> None:
    row = read()[-1]
    assert row.responses == (ACTED, row.chosen)
    assert row.comparison().a.text == "It is 42."
    assert (row.rejected_score, row.rejected_steps) == (pytest.approx(4.0), (pytest.approx(2.0), None))
    assert (row.chosen_score, row.chosen_steps) == (None, ())


def test_how_a_comparison_was_chosen() -> None:
    assert [row.chosen_by for row in read()[:2]] == [NOT_SAID, DISPUTED]
    assert read()[4].chosen_by == Selection("planned", 0.125)


def test_the_least_that_a_row_must_have() -> None:
    names = ("id", "prompt_id", "prompt", "chosen", "rejected", "chosen_is", "p_chosen")
    row = {name: raw()[1][name] for name in names} | {"someone": "else's", "cohort": None, "p_tie": None}
    few = PreferenceRow.read(row, "f:1")
    assert (few.p_a, few.human_p_a, few.cohort, few.verdicts) == (pytest.approx(0.175), None, "all", ())
    assert few.likeliest_answer == "b"
    for name in names:
        with pytest.raises(UsageError, match=f'f:1: "{name}" is missing .the columns are .*preferences.jsonl'):
            PreferenceRow.read({key: value for key, value in row.items() if key != name}, "f:1")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"p_chosen": 1.5}, "p_chosen: .*less than or equal to 1"),
        ({"p_chosen": "0.7"}, "p_chosen: .*number"),
        ({"chosen_is": "c"}, "chosen_is: "),
        ({"chosen": "a text"}, "chosen: "),
        ({"chosen": []}, "chosen: "),
        ({"chosen": [{"role": "nobody", "content": "x"}]}, r"chosen\.0\.role: "),
        ({"selection": "planned"}, "selection_probability: .*planned"),
        ({"verdicts": [{"order": "aa", "p_a": 0.5}]}, r"verdicts\.0\.order: "),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=f"^f:1: {fault}"):
        PreferenceRow.read(raw()[0] | change, "f:1")


def test_a_malformed_row_says_why() -> None:
    for kind in (PreferenceRow, FailureRow):
        with pytest.raises(UsageError, match="f:2: not a line of JSON"):
            kind.read(Malformed(1, "f:2", "not a line of JSON"), "f:2")
    with pytest.raises(UsageError, match=r"f:2: reason: .*failures\.jsonl"):
        FailureRow.read({"row": 1, "place": "f:1", "id": None, "detail": "d"}, "f:2")
