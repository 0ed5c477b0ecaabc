"""Settings made by a program: a mistake is said as in a file of settings."""

import copy
import pickle
from collections.abc import Callable

import pytest
from pydantic import ValidationError

import preceptor as pc


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: pc.JudgeSpec(weight=-1), ("JudgeSpec", "weight = -1", "0.000001")),
        (lambda: pc.PairwiseSettings(order="x"), ("order = 'x'", "'both' or 'single'")),  # pyright: ignore
        (lambda: pc.PairwiseSettings(samples=3), ("samples > 1", "rationale = true")),
        (lambda: pc.Sampling(samples=3), ('"policy" is missing',)),  # pyright: ignore
        (lambda: pc.Connection(retrys=3), ("retrys", 'did you mean "retries"')),  # pyright: ignore
        (lambda: pc.Answering(temperature=0), ("temperature = 0", "greater than 0")),
        (lambda: pc.JudgeSpec("embedded"), ("by name", "JudgeSpec(model=")),  # pyright: ignore
        (lambda: pc.RevisionSettings(rounds=0), ("rounds = 0", "equal to 1")),
        (lambda: pc.Judge("embedded", settings={"ordr": "both"}), ("settings.ordr", 'did you mean "order"')),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(made: Callable[[], object], words: tuple[str, ...]) -> None:
    with pytest.raises(pc.UsageError) as error:
        made()
    assert all(word in str(error.value) for word in words)
    assert "pydantic" not in str(error.value)


def test_inside_other_settings_the_place_is_kept() -> None:
    with pytest.raises(ValidationError) as error:
        pc.JudgeSpec.model_validate({"settings": {"order": "x"}})
    assert error.value.errors()[0]["loc"] == ("settings", "order")


def test_settings_are_copied_and_pickled() -> None:
    spec = pc.JudgeSpec(weight=2.0)
    assert copy.deepcopy(spec) == pickle.loads(pickle.dumps(spec)) == spec
