"""A taskset of verifiers 0.4 as an environment, for preceptor's agents and for TRL. In a file of your own:

    from verifiers.v1 import load_taskset
    from verifiers.v1.configs.taskset import TasksetConfig

    TASKS = load_taskset(TasksetConfig(id="my-taskset"))
    MyTasks = environment_of(TASKS)

The environment is then `own.py:MyTasks`, and `prompt_rows(TASKS)` are the rows of its prompt file.

The tools of the taskset's toolsets run in the episode's process and share the rollout's state with the rewards. What
needs more than that is refused: containers, runtimes, stop conditions, tools behind an address. An `Env` of verifiers
with a `run` of its own is not used.
"""

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any, get_type_hints

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]
from verifiers.v1.dialects.chat import message_to_wire  # pyright: ignore[reportMissingImports]
from verifiers.v1.graph import MessageNode  # pyright: ignore[reportMissingImports]
from verifiers.v1.state import state_cls  # pyright: ignore[reportMissingImports]
from verifiers.v1.types import (  # pyright: ignore[reportMissingImports]
    AssistantMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from verifiers.v1.utils.decorators import discover_decorated  # pyright: ignore[reportMissingImports]

import preceptor as pc


class VerifiersTask:
    """One rollout of a task: its tools, its state and its trace."""

    _taskset: Any
    _tasks: dict[str, Any]

    def reset(self, task_key: str = "", **row: Any) -> None:
        """Sets the task up.

        Args:
            task_key: the task's key in the taskset.
        """
        if task_key not in self._tasks:
            raise KeyError(f"the taskset has no task with the key {task_key[:80]}")
        self._task = self._tasks[task_key]
        self._loop = asyncio.new_event_loop()
        self._trace = _trace(self._task)
        for message in _asked(self._task):
            self._add(message)
        self._toolsets = _toolsets(self._taskset)
        self._loop.run_until_complete(self._set_up())

    def get_reward(self, response: str | None = None) -> float | None:
        """The sum of the task's weighted rewards; None where it has none.

        Args:
            response: the policy's last message. TRL does not give it; then the trace ends with the last tool call.
        """
        if response is not None:
            self._add(AssistantMessage(content=response), sampled=True)
        self._loop.run_until_complete(self._task.score(self._trace))
        return float(self._trace.reward) if self._trace.rewards else None

    async def _set_up(self) -> None:
        for toolset, per_task in self._toolsets:
            toolset._inert_state = self._trace.state  # what the toolset's tools see outside a server
            await toolset.setup()
            if per_task:
                await toolset.setup_task(self._task.data)

    def _call(self, place: int, method: str, tool: str, arguments: dict[str, Any]) -> str:
        number = str(len(self._trace.nodes))
        call = ToolCall(id=number, name=tool, arguments=json.dumps(arguments, default=str))
        self._add(AssistantMessage(tool_calls=[call]), sampled=True)
        result = getattr(self._toolsets[place][0], method)(**arguments)
        value = self._loop.run_until_complete(result) if inspect.isawaitable(result) else result
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        self._add(ToolMessage(tool_call_id=number, name=tool, content=text))
        return text

    def _add(self, message: Any, sampled: bool = False) -> None:
        last = len(self._trace.nodes) - 1
        self._trace.nodes.append(MessageNode(parent=None if last < 0 else last, message=message, sampled=sampled))


def environment_of(taskset: Any) -> type[Any]:
    """The class to name as an environment.

    Args:
        taskset: a loaded `verifiers.v1.Taskset` that ends.

    Raises: UsageError naming what of it cannot be used.
    """
    _check(taskset)
    members: dict[str, Any] = {"_taskset": taskset, "_tasks": {task.key: task for task in taskset}}
    for place, (toolset, _) in enumerate(_toolsets(taskset)):
        for tool in discover_decorated(toolset, "tool"):
            method = _method(place, toolset, tool)
            members[method.__name__] = method
    return type(type(taskset).__name__, (VerifiersTask,), members)


def prompt_rows(taskset: Any) -> list[dict[str, Any]]:
    """A row for a prompt file for each task that has a prompt."""
    return [
        {
            "id": task.data.id or task.data.name or task.key,
            "prompt": [message_to_wire(message) for message in _asked(task)],
            "metadata": {"task_key": task.key},
        }
        for task in taskset
        if task.data.prompt
    ]


def _method(place: int, toolset: Any, tool: Callable[..., Any]) -> Callable[..., str]:
    """A method with the tool's signature, and with what the docstring says of it and its parameters."""
    plain = getattr(tool, "tool_name", None) or tool.__name__
    name = f"{toolset.server_name}_{plain}" if toolset.server_name else plain

    def method(self: VerifiersTask, **arguments: Any) -> str:
        return self._call(place, tool.__name__, name, arguments)  # pyright: ignore[reportPrivateUsage]

    hints = get_type_hints(tool)
    given = list(inspect.signature(tool).parameters.values())
    parameters = [parameter.replace(annotation=hints.get(parameter.name, str)) for parameter in given]
    instance = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__name__ = method.__qualname__ = name
    method.__signature__ = inspect.Signature([instance, *parameters])  # type: ignore[attr-defined]
    method.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    method.__doc__ = _docstring(tool, plain, [parameter.name for parameter in given])
    return method


def _docstring(tool: Callable[..., Any], name: str, parameters: list[str]) -> str:
    """The tool's docstring; parameters that it does not describe are described by their names, as in MCP."""
    said = inspect.getdoc(tool) or name.replace("_", " ")
    if not parameters or "\nArgs:" in said:
        return said
    return "\n".join([said, "", "Args:", *(f"    {name}: {name.replace('_', ' ')}" for name in parameters)])


def _toolsets(taskset: Any) -> list[tuple[Any, bool]]:
    """Fresh toolsets, each with whether it belongs to a task rather than to all of them."""
    of_task = type(taskset).task_type().toolsets(taskset.config.task)
    return [*((each, True) for each in of_task), *((each, False) for each in type(taskset).toolsets(taskset.config))]


def _trace(task: Any) -> Any:
    return vf.Trace(
        task=vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
        state=state_cls(type(task))(),
        agent=vf.AgentInfo(config=vf.AgentConfig(), name="preceptor"),
    )


def _asked(task: Any) -> list[Any]:
    prompt = task.data.prompt or []
    asked = [UserMessage(content=prompt)] if isinstance(prompt, str) else list(prompt)
    return [*([SystemMessage(content=task.data.system_prompt)] if task.data.system_prompt else []), *asked]


def _check(taskset: Any) -> None:
    name, kind = type(taskset).__name__, type(taskset).task_type()
    state = state_cls(kind)
    needs = {
        "it never ends; take some of its tasks": not taskset.bounded,
        "its tasks need a container": kind.NEEDS_CONTAINER,
        "its tasks have a setup or finalize in a runtime": (kind.setup, kind.finalize)
        != (vf.Task.setup, vf.Task.finalize),
        "its tools are behind an address": any(getattr(each.config, "url", None) for each, _ in _toolsets(taskset)),
        "its tools have another state than its tasks": any(
            state_cls(type(each)) not in (vf.State, state) for each, _ in _toolsets(taskset)
        ),
    }
    tasks = [] if not taskset.bounded else list(taskset)[:1]
    for task in tasks:
        scored = [*task.hooks("reward"), *task.hooks("metric")]
        needs["its rewards need a runtime"] = any(_needs_runtime(function) for function in scored)
        needs["it has stop conditions"] = bool(task.hooks("stop"))
    for why, found in needs.items():
        if found:
            raise pc.UsageError(f"the taskset {name} cannot be an environment here: {why}")


def _needs_runtime(function: Callable[..., Any]) -> bool:
    runtime = inspect.signature(function).parameters.get("runtime")
    return runtime is not None and runtime.default is inspect.Parameter.empty


__all__ = ["environment_of", "prompt_rows"]
