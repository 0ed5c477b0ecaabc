"""What work was begun with is recorded once, and compared ever after."""

import json
from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.store.pinned import pin


def test_work_goes_on_only_with_what_it_was_begun_with(tmp_path: Path) -> None:
    path = tmp_path / "begun.json"
    pin(path, {"data": "one", "limit": 3}, "labels")
    pin(path, {"limit": 3, "data": "one"}, "labels")
    with pytest.raises(UsageError, match=r"holds labels made with other data \(was one, is two\); choose"):
        pin(path, {"data": "two", "limit": 3}, "labels")
    with pytest.raises(UsageError, match=r"made with other data and limit; choose"):
        pin(path, {"data": "two", "limit": 4}, "labels")
    with pytest.raises(UsageError, match=r"made with other seed; choose"):
        pin(path, {"data": "one", "seed": 0}, "labels")
    assert json.loads(path.read_text(encoding="utf-8")) == {"data": "one", "limit": 3}


def test_stages_add_what_they_depend_on(tmp_path: Path) -> None:
    path = tmp_path / "inputs.json"
    pin(path, {"prompts": "p"}, "a run", in_stages=True)
    pin(path, {"policy": "q"}, "a run", in_stages=True)
    assert json.loads(path.read_text(encoding="utf-8")) == {"prompts": "p", "policy": "q"}
    with pytest.raises(UsageError, match=r"holds a run made with other policy \(was q, is r\)"):
        pin(path, {"policy": "r", "reward model": "m"}, "a run", in_stages=True)
    assert json.loads(path.read_text(encoding="utf-8")) == {"prompts": "p", "policy": "q"}
