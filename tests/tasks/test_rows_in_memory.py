"""Messages about rows in memory name what was given, never the file that they were written to."""

import tempfile
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import preceptor as pc

JUDGE = "scripted:random"
PAIR = {"prompt": "q", "response_a": "x", "response_b": "yes", "label": "a"}
WRONG = {"prompt": "q", "response_a": "x"}
MEMORY: dict[str, tuple[Callable[[], object], str]] = {
    "label": (lambda: pc.label([PAIR, PAIR, WRONG], judges=JUDGE, strict=True), "row 3 of the rows given"),
    "a frame": (lambda: pc.label(pd.DataFrame([PAIR, WRONG]), judges=JUDGE, strict=True), "row 2 of the rows given"),
    "no rows": (lambda: pc.label([], judges=JUDGE), "the rows given"),
    "prompts": (lambda: pc.label([{}], judges=JUDGE, sampling={"policy": JUDGE}), "row 1 of the prompts given"),
    "audit": (lambda: pc.audit([{**PAIR, "label": None}], judges=JUDGE), "row 1 of the rows given"),
    "agreement": (lambda: pc.agreement([PAIR]), "row 1 of the rows given"),
    "judged": (lambda: pc.estimate([PAIR]), "row 1 of the judged rows given"),
    "people": (lambda: pc.estimate(labels(), people=[WRONG]), "row 1 of the rows given as people"),
    "labels": (lambda: pc.estimate(labels(), policy="x"), "the labels given"),
    "opinions": (lambda: pc.agreement(labels()), "row 1 of the labels given"),
    "trajectories": (lambda: pc.trajectories(labels()), "the labels given"),
    "construct": (lambda: pc.construct([{"prompt": 3}], model=JUDGE), "row 1 of the prompts given"),
    "revise": (lambda: pc.revise([{"prompt": 3}], model=JUDGE), "row 1 of the prompts given"),
    "evaluate": (lambda: pc.evaluate(a=["x"], b=["y"], prompts=[{"id": 1}], judge=JUDGE), "row 1 of the prompts given"),
    "responses": (
        lambda: pc.evaluate(a=[{"prompt": "q"}], b=JUDGE, judge=JUDGE),
        'row 1 of the responses given as "a"',
    ),
    "run": (lambda: pc.run("quickstart", prompts=[{"prompt": "q"}, {"text": "q"}]), "row 2 of the prompts given"),
    "few prompts": (lambda: pc.run("quickstart", prompts=["q"]), "the prompts given: "),
    "traces": (lambda: pc.cohort([{"messages": []}], out="cohort.jsonl"), "the traces given"),
    "pairs": (
        lambda: pc.train_reward([WRONG], model="embedded"),
        "no labelled pair to learn from: row 1 of the rows given: ",
    ),
}


def labels() -> pc.LabelResult:
    return pc.label([PAIR], judges=JUDGE)


@pytest.mark.parametrize("name", MEMORY)
def test_an_error_names_what_was_given(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    work, expected = MEMORY[name]
    with pytest.raises(pc.PreceptorError) as error:
        work()
    assert expected in str(error.value)
    assert tempfile.gettempdir() not in str(error.value)


def test_a_row_that_is_left_out_is_named_too() -> None:
    [left_out] = pc.label([PAIR, WRONG], judges=JUDGE).malformed
    assert left_out.place == "row 2 of the rows given"
