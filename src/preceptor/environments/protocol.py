"""What an environment is: a class in the shape that TRL's `environment_factory` takes, so that both engines use it."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol

NOT_TOOLS = ("reset", "get_reward")
"""The public methods that are no tools."""


class Environment(Protocol):
    """A task on which a policy works by calling tools.

    The class is made without arguments, once for each episode. Besides `reset`:

    - every public method is a tool. Its parameters have types, and its docstring says what it does and, under `Args:`,
      what each parameter means; the model is shown both. What it returns is shown to the model as `str(...)`. When it
      raises an error, the model is shown the error's message;
    - `get_reward()`, if there is one, says at the end how well the task was done: 1 or more is success. If it has a
      parameter `response`, that is the policy's last message; TRL calls it without. None abstains.

    Methods may be async. Random numbers from `random` are the same in every episode on the same row.
    """

    def reset(self, **row: Any) -> str | None:
        """Sets the task up.

        Args:
            row: the prompt's row: `prompt` (its messages), `id`, `cohort`, `reference` and each key of its `metadata`.

        Returns: a text that is appended to the prompt's last message, or None.
        """
        ...


def tool_names(environment: type[Any]) -> list[str]:
    """The names of an environment's tools, in alphabetical order as TRL lists them."""
    members = inspect.getmembers(environment, predicate=inspect.isfunction)
    return [name for name, _ in members if name not in NOT_TOOLS and not name.startswith("_")]


def is_method(environment: type[Any], name: str) -> bool:
    """Whether a function of a class takes the instance as its first argument."""
    return not isinstance(inspect.getattr_static(environment, name), staticmethod)


def parameters_of(function: Callable[..., Any], *, method: bool) -> list[inspect.Parameter]:
    """The parameters that a caller gives, with their types in place of the types' names.

    Raises: NameError or TypeError when a type's name means nothing.
    """
    given = list(inspect.signature(function, eval_str=True).parameters.values())
    return given[1:] if method else given
