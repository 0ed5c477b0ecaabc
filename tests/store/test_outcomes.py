import json
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import PreceptorError
from preceptor.store.outcomes import Outcomes
from store.preference_examples import FAILURES_0_1_0, PREFERENCES_0_1_0


@dataclass(frozen=True)
class Numbered:
    """A row as short as one can be, so that files can be cut at every byte."""

    row: int
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    def wire(self) -> dict[str, Any]:
        return {"row": self.row} | self.more


def numbered(*numbers: int) -> list[Numbered]:
    return [Numbered(number) for number in numbers]


KEPT = [Numbered(0), Numbered(2, {"t": "é"}), Numbered(3)]
FAILED = numbered(1, 4)


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["row"] for line in path.read_text().splitlines()]


def test_chunks_go_on_from_one_another(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    outcomes.append(numbered(0, 2), numbered(1))
    outcomes.append([], numbered(3))
    outcomes.append([], [])
    assert (numbers(outcomes.preferences), numbers(outcomes.failures)) == ([0, 2], [1, 3])
    assert Outcomes(tmp_path).resume() == 4


def test_no_files_yet_and_files_cleared(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    assert outcomes.resume() == 0
    assert list(tmp_path.iterdir()) == []
    outcomes.append(numbered(0), [])
    outcomes.clear()
    assert list(tmp_path.iterdir()) == []
    assert outcomes.resume() == 0


def test_cut_at_any_byte_work_goes_on_at_the_first_missing_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)  # a thousand cuts, and no power cut among them
    outcomes = Outcomes(tmp_path)
    outcomes.append(KEPT, FAILED)
    whole = [outcomes.preferences.read_bytes(), outcomes.failures.read_bytes()]
    for sizes in product(*(range(len(content) + 1) for content in whole)):
        complete: set[int] = set()
        for path, content, size in zip((outcomes.preferences, outcomes.failures), whole, sizes, strict=True):
            path.write_bytes(content[:size])
            complete |= {json.loads(line)["row"] for line in content[:size].split(b"\n")[: content[:size].count(b"\n")]}
        first_missing = next(number for number in range(6) if number not in complete)

        again = Outcomes(tmp_path)
        assert again.resume() == first_missing
        assert sorted(numbers(again.preferences) + numbers(again.failures)) == list(range(first_missing))
        assert again.resume() == first_missing
        rest = [[row for row in rows if row.row >= first_missing] for rows in (KEPT, FAILED)]
        again.append(rest[0], rest[1])
        assert [again.preferences.read_bytes(), again.failures.read_bytes()] == whole


def test_append_mends_what_a_killed_process_left(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    outcomes.append(numbered(0), [])
    outcomes.preferences.write_bytes(outcomes.preferences.read_bytes() + b'{"row": 1')
    Outcomes(tmp_path).append(numbered(1), [])
    assert numbers(outcomes.preferences) == [0, 1]


@pytest.mark.parametrize("torn", [b"\0\0\n", b"[]\n", b'{"row": null}\n', b'{"row": 7}\n', b'{"row": 0}\n', b"\xff\n"])
def test_a_line_that_is_not_the_next_row_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    outcomes = Outcomes(tmp_path)
    outcomes.append(numbered(0), [])
    outcomes.preferences.write_bytes(outcomes.preferences.read_bytes() + torn)
    assert outcomes.resume() == 1
    assert numbers(outcomes.preferences) == [0]


def test_numbers_that_do_not_go_on_and_numbers_json_has_not(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    outcomes.append(numbered(0), [])
    for kept, failed in ((numbered(2), []), (numbered(1), numbered(1)), (numbered(2, 1), [])):
        with pytest.raises(ValueError, match="outcomes"):
            outcomes.append(kept, failed)
    with pytest.raises(ValueError, match="not JSON compliant"):
        outcomes.append([Numbered(1, {"p": float("nan")})], [])
    assert outcomes.resume() == 1


def test_half_a_surrogate_pair_in_a_rationale_stops_nothing(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    outcomes.append([Numbered(0, {"rationale": "so \ud83d"})], [])
    assert json.loads(outcomes.preferences.read_text())["rationale"] == "so ?"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(PreceptorError, match=r"preferences\.jsonl: cannot be written: No such file"):
        Outcomes(tmp_path / "missing").append(numbered(0), [])


def test_cut_back_to_a_whole_chunk(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    outcomes.append(numbered(0, 1, 3, 4, 6), numbered(2, 5))
    assert Outcomes(tmp_path).resume(4) == 4
    assert numbers(outcomes.preferences) == [0, 1, 3]
    assert numbers(outcomes.failures) == [2]
    outcomes.resume()
    outcomes.append(numbered(4), [])
    assert outcomes.resume(4) == 4


def test_a_row_longer_than_any_reader_takes_is_cut_off_and_made_again(tmp_path: Path) -> None:
    """One such row used to make every later run fail."""
    outcomes = Outcomes(tmp_path)
    outcomes.append([Numbered(0), Numbered(1, {"rationale": "w" * 200}), Numbered(3)], numbered(2))
    again = Outcomes(tmp_path, longest_line=100)
    assert again.resume() == 1
    again.append(numbered(1), [])
    assert numbers(again.preferences) == [0, 1]


def test_rows_come_back_as_what_they_are_and_damage_is_named(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    assert (list(outcomes.preference_rows()), list(outcomes.failure_rows())) == ([], [])
    outcomes.preferences.write_bytes(PREFERENCES_0_1_0.read_bytes())
    outcomes.failures.write_bytes(FAILURES_0_1_0.read_bytes())
    assert [row.row for row in outcomes.preference_rows()] == [0, 1, 2, 4, 5, 7]
    assert [(row.row, row.reason) for row in outcomes.failure_rows()] == [
        (3, "malformed"),
        (6, "no_answer"),
        (8, "refused"),
    ]
    for path, rows in ((outcomes.preferences, outcomes.preference_rows), (outcomes.failures, outcomes.failure_rows)):
        path.write_bytes(path.read_bytes() + b'{"row": 9}\n')
        with pytest.raises(PreceptorError, match=rf"{path.name}:\d+: .*begin anew"):
            list(rows())
