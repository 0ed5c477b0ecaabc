"""A taskset of verifiers as an environment: tools run in the episode's process, rewards see state and trace."""

import json
from pathlib import Path
from typing import Any

import pytest

import preceptor as pc

vf: Any = pytest.importorskip("verifiers.v1", reason="verifiers 0.4 is not installed")

SHELVES = '''
import verifiers.v1 as vf

from preceptor.integrations.verifiers_tasks import environment_of


class ShelfState(vf.State):
    taken: list[str] = []


class ShelfData(vf.TaskData):
    wanted: str


class ShelfTask(vf.Task[ShelfData, ShelfState]):
    @vf.reward(weight=0.5)
    async def took_it(self, trace) -> float:
        return float(trace.state.taken == [self.data.wanted])

    @vf.reward(weight=0.5)
    async def says_so(self, trace) -> float:
        return float(self.data.wanted in trace.last_reply and trace.num_turns == 3)

    @classmethod
    def toolsets(cls, config):
        return [Shelf(vf.ToolsetConfig())]


class Shelf(vf.Toolset[vf.ToolsetConfig, ShelfState]):
    async def setup_task(self, task):
        self.things = [task.wanted, "hat"]

    @vf.tool
    async def look(self) -> list[str]:
        """Lists what is on the shelf."""
        return self.things

    @vf.tool
    def take(self, thing: str) -> str:
        """Takes a thing."""
        if thing not in self.things:
            raise ValueError(f"no {thing} here")
        self.state.taken.append(thing)
        return "taken"


class Shelves(vf.Taskset[ShelfTask, vf.TasksetConfig]):
    def load(self):
        for thing in ("cup", "pen"):
            data = ShelfData(prompt=f"Take the {thing}.", system_prompt="Be brief.", wanted=thing)
            yield ShelfTask(data, self.config.task)


TASKS = Shelves(vf.TasksetConfig())
Environment = environment_of(TASKS)
'''


def prompts(folder: Path) -> str:
    from preceptor.integrations.verifiers_tasks import prompt_rows

    (folder / "shelves.py").write_text(SHELVES)
    environment = pc.load_environment(f"{folder}/shelves.py:Environment")
    rows = prompt_rows(environment.kind._taskset)
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_tools_state_and_rewards(tmp_path: Path) -> None:
    rows = pc.environment_rows(prompts(tmp_path))
    assert [message["content"] for message in rows[0]["prompt"]] == ["Be brief.", "Take the cup."]
    with pc.EnvironmentPool(f"{tmp_path}/shelves.py:Environment", {"seconds": 300}) as pool:
        assert pool.environment.tool_names == ["shelf_look", "shelf_take"]
        cup, pen = pool.start(rows)
        seen = pool.call(
            [
                (cup, ("shelf_look", "{}")),
                (cup, ("shelf_take", '{"thing": "cup"}')),
                (pen, ("shelf_take", '{"thing": "shoe"}')),
                (pen, ("shelf_take", '{"thing": "pen"}')),
            ]
        )
        assert [each.text for each in seen] == ['["cup", "hat"]', "taken", "{'error': 'no shoe here'}", "taken"]
        results = pool.finish([cup, pen], ["I took the cup.", "I did nothing."])
    assert [result.reward for result in results] == [1.0, 0.5]


def test_schemas_describe_parameters_by_their_names(tmp_path: Path) -> None:
    prompts(tmp_path)
    tools: Any = pc.load_environment(f"{tmp_path}/shelves.py:Environment").tools
    assert tools[1]["function"]["description"] == "Takes a thing."
    assert tools[1]["function"]["parameters"]["properties"] == {"thing": {"type": "string", "description": "thing"}}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("    def load(self):", "    INFINITE = True\n\n    def load(self):", "never ends"),
        ("async def says_so(self, trace)", "async def says_so(self, trace, runtime)", "runtime"),
        ("    @classmethod", "    NEEDS_CONTAINER = True\n\n    @classmethod", "container"),
        ("    @classmethod", "    async def setup(self, trace, runtime): ...\n\n    @classmethod", "setup"),
        ("    @classmethod", "    @vf.stop\n    def enough(self, trace): ...\n\n    @classmethod", "stop"),
        ("vf.ToolsetConfig())]", "vf.ToolsetConfig(url='http://x'))]", "address"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in SHELVES
    (tmp_path / "shelves.py").write_text(SHELVES.replace(old, new))
    with pytest.raises(pc.UsageError, match=why):
        pc.load_environment(f"{tmp_path}/shelves.py:Environment")
