"""Datasets by name, wherever a file of rows is asked for."""

from pathlib import Path

import pytest

import preceptor as pc
from hub_server import Hub, json_lines
from preceptor.core.errors import UsageError
from preceptor.recipes.load import load_recipe, with_absolute_paths
from preceptor.tasks.evaluate.prompts import read_evaluation_prompts

PAIRS = [{"question": f"q{i}", "chosen": f"x{i}", "rejected": f"y{i}", "source": "s"} for i in range(80)]
CARD = b"---\nlicense: mit\n---\n"


@pytest.fixture
def commit(hub: Hub) -> str:
    return hub.add("datasets/org/pairs", {"README.md": CARD, "train.jsonl": json_lines(*PAIRS)})


def test_labels_say_the_commit_that_they_are_of(hub: Hub, commit: str, tmp_path: Path) -> None:
    labels = pc.label("hf:org/pairs", judges="scripted:random", out=tmp_path / "labels", limit=5)
    assert labels.data == f"hf:org/pairs@{commit}"
    assert labels.counts.preferences == 5


def test_labelling_goes_on_to_more_rows_and_refuses_another_commit(hub: Hub, commit: str, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    pc.label("hf:org/pairs", judges="scripted:random", out=out, limit=5)
    assert pc.label("hf:org/pairs", judges="scripted:random", out=out, limit=70).counts.preferences == 70
    moved = hub.repositories["datasets/org/pairs"].commit({"train.jsonl": json_lines(*PAIRS[::-1])})
    with pytest.raises(UsageError) as error:
        pc.label(f"hf:org/pairs@{moved}", judges="scripted:random", out=out)
    assert f"hf:org/pairs@{commit}" in str(error.value)
    assert pc.label(f"hf:org/pairs@{commit}", judges="scripted:random", out=out).counts.preferences == 80


def test_an_audit_takes_people_s_choices_from_the_hub(hub: Hub, commit: str, tmp_path: Path) -> None:
    audit = pc.audit("hf:org/pairs", judges="scripted:random", limit=20, out=tmp_path / "audit")
    assert audit["scripted:random"].n == 20
    assert commit in (tmp_path / "audit" / "report.html").read_text()


def test_prompts_of_an_evaluation(hub: Hub, commit: str) -> None:
    prompts = read_evaluation_prompts((), ("maths=hf:org/pairs",), 7)
    assert [(prompt.text, prompt.cohort) for prompt in prompts][-1] == ("q6", "maths")


def test_prompts_of_a_labelling_with_a_policy(hub: Hub, commit: str) -> None:
    labels = pc.label("hf:org/pairs", judges="scripted:random", sampling={"policy": "scripted:random"}, limit=3)
    assert labels.counts.preferences + labels.counts.failures == 3


def test_a_run_keeps_the_commit_of_its_prompts(hub: Hub, commit: str) -> None:
    recipe = load_recipe("direct_rlaif").model_copy(update={"prompts": "hf:org/pairs", "policy": "hf:org/model"})
    kept = with_absolute_paths(recipe)
    assert kept.prompts == f"hf:org/pairs@{commit}"
    assert kept.policy == "hf:org/model"
