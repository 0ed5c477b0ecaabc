"""A run loads each model once."""

from pathlib import Path

import pytest

from preceptor.backends.transformers.loading import load
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.runs import session
from preceptor.runs.directory import RunDirectory
from small import Told, settings


def test_the_policy_is_the_model_that_the_prompts_were_measured_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_folder: Path
) -> None:
    loaded: list[str] = []

    def counted(name: str, *arguments: object, **settings: object) -> object:
        loaded.append(name)
        return load(name, *arguments, **settings)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(session, "load", counted)
    recipe = load_recipe("quickstart", [*settings(tmp_path, tiny_folder), "rl.steps=1"])
    execute(RunDirectory.create(tmp_path / "run", recipe), Told())
    assert loaded == [str(tiny_folder)]
