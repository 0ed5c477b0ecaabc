from pathlib import Path
from typing import Any

import pytest
import tomli_w

from preceptor.core.errors import UsageError
from preceptor.judging.constitution import Constitution, load_constitution

FIELDS: dict[str, Any] = {
    "name": "n",
    "version": "1",
    "summary": "s",
    "principles": ["p"],
    "item": "Text: {response}\nGood:",
    "choices": [{"answer": "yes", "value": 1.0}, {"answer": "no", "value": 0.0}],
}


def test_the_shipped_one_loads() -> None:
    constitution = load_constitution("warm_tone")
    assert constitution.values == {"positive": 1.0, "negative": -1.0}
    assert len(constitution.exemplars) == 4


def test_the_hash_follows_the_content() -> None:
    one = Constitution.model_validate(FIELDS)
    assert one.hash == Constitution.model_validate(dict(reversed(FIELDS.items()))).hash
    assert one.hash != Constitution.model_validate({**FIELDS, "principles": ["q"]}).hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": "Text:"}, r"item must hold \{response\}"),
        ({"choices": [{"answer": "yes", "value": 1.0}]}, "choices"),
        ({"choices": [{"answer": "yes", "value": 1.0}, {"answer": "yes", "value": 0.0}]}, "repeat an answer"),
        ({"choices": [{"answer": "yes", "value": 1.0}, {"answer": "no", "value": 1.0}]}, "same value"),
        ({"exemplars": [{"response": "r", "answer": "maybe"}]}, 'exemplar 1 answers "maybe"'),
        ({"principles": []}, "principles"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_faulty_file_is_refused_with_its_name(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(tomli_w.dumps({**FIELDS, **change}))
    with pytest.raises(UsageError, match=message) as caught:
        load_constitution(str(path))
    assert str(path) in str(caught.value)


def test_an_unknown_name_and_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'did you mean "warm_tone"\?'):
        load_constitution("warm_ton")
    (tmp_path / "c.toml").write_text("name = ")
    with pytest.raises(UsageError, match="not a TOML file"):
        load_constitution(str(tmp_path / "c.toml"))
    with pytest.raises(UsageError, match="cannot be read"):
        load_constitution(str(tmp_path / "none.toml"))
