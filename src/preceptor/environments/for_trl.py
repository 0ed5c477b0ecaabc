"""An environment of preceptor as TRL's `environment_factory`, with preceptor's limits.

TRL can be given an environment's class itself; its tools then run in the process that trains, without limits, and what
they return is tokenised as it is, control tokens included. The class made here has the same tools and runs them in a
pool, so the policy sees what it sees in preceptor's own rollouts.
"""

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

from preceptor.core.types import FunctionCall
from preceptor.environments.episodes import Episode
from preceptor.environments.loading import EnvironmentClass
from preceptor.environments.pool import EnvironmentPool
from preceptor.environments.protocol import is_method


class ToolError(Exception):
    """A tool call failed; TRL counts it and shows its message to the policy."""


class _Remote:
    """Forwards to an episode in the pool. What is public here would be a tool for TRL."""

    _pool: EnvironmentPool
    _episode: Episode | None = None

    def reset(self, **row: Any) -> str | None:
        """Begins an episode, and ends the one before."""
        if self._episode is not None:
            self._pool.end([self._episode])
        (self._episode,) = self._pool.start([row])
        return self._episode.appended

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        assert self._episode is not None, "TRL resets an environment before it calls a tool"
        call = FunctionCall(name=name, arguments=json.dumps(arguments))
        (observation,) = self._pool.call([(self._episode, call)])
        if observation.failure:
            raise ToolError(observation.error)
        return observation.text


def trl_environment(pool: EnvironmentPool, *, with_reward: bool = True) -> type[Any]:
    """The class to give to TRL's trainers as `environment_factory`.

    Args:
        pool: where its episodes run; stays open as long as the trainer trains.
        with_reward: whether the class has the environment's `get_reward`, which TRL calls without the policy's last
            message.
    """
    environment = pool.environment
    members: dict[str, Any] = {name: _tool(environment, name) for name in environment.tool_names}
    if with_reward and environment.has_reward:
        members["get_reward"] = _get_reward
    return type(environment.kind.__name__, (_Remote,), {"_pool": pool, **members})


def _tool(environment: EnvironmentClass, name: str) -> Callable[..., str]:
    """A method with the tool's name, signature and docstring."""
    original: Callable[..., Any] = getattr(environment.kind, name)

    @functools.wraps(original)
    def tool(self: _Remote, **arguments: Any) -> str:
        return self._call(name, arguments)  # pyright: ignore[reportPrivateUsage]

    signature = inspect.signature(original)
    if not is_method(environment.kind, name):
        instance = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        signature = signature.replace(parameters=[instance, *signature.parameters.values()])
    tool.__signature__ = signature  # type: ignore[attr-defined]
    return tool


def _get_reward(self: _Remote) -> float | None:
    """What the environment says of the episode; None where it abstains or has ended."""
    assert self._episode is not None, "TRL resets an environment before it asks for a reward"  # pyright: ignore
    (result,) = self._pool.results([self._episode], [None])  # pyright: ignore
    return result.reward
