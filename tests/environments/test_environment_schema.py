"""Schemas of tools: equal to those of transformers, and clear errors for classes that cannot be described."""

from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.types import FunctionCall, Message, Prompt, ToolCall
from preceptor.environments.calculator_tasks import calculator_tasks
from preceptor.environments.loading import SHIPPED, load_environment, load_tools, row_of

TOYS = Path(__file__).with_name("toy_environments.py")


@pytest.mark.parametrize("name", [f"{TOYS}:Toy", f"{TOYS}:Silent", *SHIPPED])
def test_schemas_equal_those_of_transformers(name: str):
    utils: Any = pytest.importorskip("transformers.utils")
    environment = load_environment(name)
    instance = environment.kind()
    assert list(environment.tools) == [utils.get_json_schema(getattr(instance, t)) for t in environment.tool_names]


def test_a_schema_by_hand():
    (schema,) = load_tools([f"{TOYS}:double"]).tools
    number = {"type": "integer", "description": "any"}
    assert schema == {
        "type": "function",
        "function": {
            "name": "double",
            "description": "Doubles a number.",
            "parameters": {"type": "object", "properties": {"number": number}, "required": ["number"]},
            "return": {"type": "integer"},
        },
    }


RESET = "    def reset(self, **row): ...\n"
TOOL = '    def tool(self, a: int):\n        """Does.\n\n        Args:\n            a: a number\n        """\n'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (TOOL, "reset"),
        ("    def reset(self): ...\n" + TOOL, r"\*\*row"),
        (RESET, "no tools"),
        (RESET + TOOL.replace(": int", ""), "a has no type"),
        (RESET + TOOL.replace(": int", ": complex"), "complex"),
        (RESET + TOOL.replace(": int", ": list[bytes]"), "bytes"),
        (RESET + TOOL.replace(": int", ': "Unheard"'), "Unheard"),
        (RESET + TOOL.replace("a: a number", "b: a number"), "does not describe a"),
        (RESET + "    def tool(self): ...\n", "no docstring"),
        (RESET + TOOL.replace("a: int", "*a: int"), r"\*a"),
    ],
)
def test_a_class_that_cannot_be_an_environment_is_refused(tmp_path: Path, body: str, words: str):
    file = tmp_path / "own.py"
    file.write_text(f"class Own:\n{body}")
    with pytest.raises(UsageError, match=words):
        load_environment(f"{file}:Own")


@pytest.mark.parametrize("name", ["calculater", f"{TOYS}:Missing", f"{TOYS}:double", "nowhere.py:Own"])
def test_an_unknown_environment_is_refused(name: str):
    with pytest.raises(UsageError, match="environment"):
        load_environment(name)


@pytest.mark.parametrize("names", [[], [f"{TOYS}:Toy"], [f"{TOYS}:double", f"{TOYS}:double"]])
def test_functions_that_cannot_be_tools_are_refused(names: list[str]):
    with pytest.raises(UsageError, match="tool"):
        load_tools(names)


def test_a_call_in_a_prompt_is_as_templates_take_it():
    task = calculator_tasks("shown", 1)[0]
    call = row_of(task)["prompt"][1]["tool_calls"][0]["function"]
    assert call == {"name": "calculate", "arguments": {"expression": "66 + 27"}}
    function = FunctionCall(name="calculate", arguments="{broken")
    broken = Message(role="assistant", tool_calls=(ToolCall(function=function),))
    kept = row_of(task.model_copy(update={"conversation": (broken, *task.conversation)}))
    assert kept["prompt"][0]["tool_calls"][0]["function"]["arguments"] == "{broken"


def test_a_row_holds_the_prompt_and_its_metadata():
    asked = Message(role="user", content="2 + 2?")
    prompt = Prompt(id="p", conversation=(asked,), reference="4", metadata={"table": [1], "id": "hidden"})
    assert row_of(prompt) == {
        "table": [1],
        "id": "p",
        "prompt": [{"role": "user", "content": "2 + 2?"}],
        "cohort": "all",
        "reference": "4",
    }
