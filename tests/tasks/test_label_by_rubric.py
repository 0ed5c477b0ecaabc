"""`preceptor label` by rubrics: which mistakes it reports before it samples or asks anything."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelling import labelled
from preceptor.core.errors import UsageError
from preceptor.judging.specs import JudgeSpec
from preceptor.tasks.candidates import Sampling

BY_RUBRIC = (JudgeSpec(model="scripted:random", variant="rubric"),)
GOOD = [{"criterion": "Is short.", "check": {"verifier": "words", "most": 3}}]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"verifier": "wordz"}, 'did you mean "words"'),
        ("missing.py:named", "no file missing.py"),
        ({"verifier": "words"}, "least"),
    ],
)
@pytest.mark.parametrize("sampling", [None, Sampling(policy="scripted:random")])
def test_a_check_that_cannot_be_used_is_named_before_anything_is_asked(
    tmp_path: Path, check: Any, said: str, sampling: Sampling | None
) -> None:
    rows: list[dict[str, Any]] = [
        {"id": name, "prompt": f"{name}?", "rubric": rubric}
        for name, rubric in (("sound", GOOD), ("faulty", [*GOOD, {"criterion": "Is good.", "check": check}]))
    ]
    if sampling is None:
        rows = [{**row, "response_a": "x", "response_b": "y"} for row in rows]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UsageError, match="rubric item 2") as caught:
        labelled({"rows": data, "out": tmp_path / "out", "judges": BY_RUBRIC, "sampling": sampling})
    assert said in str(caught.value)
    assert not (tmp_path / "out" / "ledger.sqlite").exists()
