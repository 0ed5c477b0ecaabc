"""`preceptor init`: a folder to start from that works as it is."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from preceptor.core.errors import UsageError
from preceptor.judging.constitution import (
    Choice,
    ComparedExemplar,
    Constitution,
    Criterion,
    Exemplar,
    PairwiseRubric,
    ScoreRubric,
    load_constitution,
)
from preceptor.recipes.load import load_recipe
from preceptor.tasks.init import FILES, init


def test_the_files_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert init(tmp_path / "new").files == FILES
    monkeypatch.chdir(tmp_path / "new")
    recipe = load_recipe("recipe.toml")
    assert recipe.prompts == "prompts.jsonl"
    assert load_constitution("constitution.toml").name == "friendly"
    prompts = [json.loads(line) for line in Path("prompts.jsonl").read_text().splitlines()]
    assert len({prompt["id"] for prompt in prompts}) == 75
    assert len({prompt["cohort"] for prompt in prompts}) > 2


@pytest.mark.parametrize(
    "model", [Constitution, PairwiseRubric, ComparedExemplar, ScoreRubric, Choice, Exemplar, Criterion]
)
def test_every_field_of_a_constitution_is_in_the_file(model: type[BaseModel], tmp_path: Path) -> None:
    init(tmp_path)
    text = (tmp_path / "constitution.toml").read_text()
    for field in model.model_fields:
        assert re.search(rf"\b{field}\b", text), field


def test_the_other_forms_in_the_file_are_valid_too(tmp_path: Path) -> None:
    init(tmp_path)
    text = (tmp_path / "constitution.toml").read_text()
    common, second, third = text[: text.index("[score]")], "# [[score.criteria]]", "# [[score.claims.exemplars]]"
    end = text.index("#\n# The third form")
    by_criteria = re.sub(r"(?m)^# ?", "", text[text.index(second) : end])
    by_claims = re.sub(r"(?m)^# ?", "", text[text.index(third) :])
    assert Constitution.model_validate(tomllib.loads(common + by_criteria)).score.criteria[0].name == "friendly"
    claims = Constitution.model_validate(tomllib.loads(common + by_claims)).score.claims
    assert claims is not None
    assert claims.exemplars[0].claims[1].answer == "absent"


def test_a_folder_that_has_such_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("mine")
    with pytest.raises(UsageError, match=r"recipe\.toml: already exists"):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]
    assert (tmp_path / "recipe.toml").read_text() == "mine"


def test_the_readme_names_commands_that_exist(tmp_path: Path) -> None:
    init(tmp_path)
    commands = re.findall(r"preceptor (\w+) ", (tmp_path / "README.md").read_text())
    assert commands == ["label", "run", "evaluate"]


def test_the_next_commands_are_said(tmp_path: Path) -> None:
    started = init(tmp_path / "new")
    assert [command.split()[:2] for command in started.commands] == [
        ["preceptor", "label"],
        ["preceptor", "run"],
        ["preceptor", "evaluate"],
    ]
    assert all(command in str(started) for command in started.commands)
