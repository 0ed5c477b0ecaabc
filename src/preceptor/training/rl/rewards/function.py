"""Rewards from a user's function with the signature of TRL's reward functions.

TRL calls `f(prompts=..., completions=..., completion_ids=..., **columns)` and expects a list with a number or None for
each completion. Preceptor calls it in the same way, with conversations as lists of messages.
"""

import functools
import inspect
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from preceptor.backends.openai.background import Background
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.store.named_objects import load_object
from preceptor.training.rl.rewards.source import NoRewardsError, known

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup

_OF_TRL = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric")
_COLUMNS = ("reference", "cohort")


class CallableReward:
    """A reward function of TRL's signature, synchronous or not.

    Its arguments, for all B responses of a step, group after group:

    - `prompts`: conversations, each a list of messages (`role`, `content`); `completions`: each a list of one message
      of the assistant; `completion_ids`: lists of token ids.
    - `reference`, `cohort` and every key of the prompts' metadata: lists of B values, None where a prompt has none.
    - `trainer_state`: the result of the argument of that name, if given.
    - `log_extra` and `log_metric`, which do nothing here.

    A function without `**kwargs` gets only the arguments that it names. None, NaN and infinity abstain.

    Args:
        function: see above. Asynchronous functions all run in one event loop, in a separate thread.
        name: name for messages; the function's own if None.
        trainer_state: called before each step. TRL's functions expect its result to have `global_step` and `max_steps`.
    """

    def __init__(
        self, function: Callable[..., Any], name: str | None = None, trainer_state: Callable[[], Any] | None = None
    ) -> None:
        self.name = name or _name_of(function)
        self._function = function
        self._trainer_state = trainer_state
        self._background: Background | None = None

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The function's rewards, P × G.

        Raises: UsageError when it needs other arguments or does not return one number or None for each response,
            PreceptorError when it raises, NoRewardsError when it has no number for any response of the step.
        """
        arguments = self._accepted(self._arguments(groups_P))
        count = sum(len(group.responses) for group in groups_P)
        rewards = self._numbers(self._called(arguments), count)
        if all(reward is None for reward in rewards):
            raise NoRewardsError(f"the reward function {self.name} has no number for any of a step's {count} responses")
        remaining = iter(rewards)
        return [[next(remaining) for _ in group.responses] for group in groups_P]

    def _arguments(self, groups_P: "Sequence[ResponseGroup]") -> dict[str, Any]:
        responses = [(group.prompt, response) for group in groups_P for response in group.responses]
        arguments: dict[str, Any] = {
            "prompts": [[message.wire() for message in prompt.conversation] for prompt, _ in responses],
            "completions": [[{"role": "assistant", "content": response.text}] for _, response in responses],
            "completion_ids": [list(ids) for group in groups_P for ids in group.tokens.responses],
            "log_extra": _ignore,
            "log_metric": _ignore,
            "reference": [prompt.reference for prompt, _ in responses],
            "cohort": [prompt.cohort for prompt, _ in responses],
        }
        for key in dict.fromkeys(key for group in groups_P for key in group.prompt.metadata):
            if key in (*_OF_TRL, *_COLUMNS):
                raise UsageError(
                    f'a prompt\'s metadata has the key "{key}", which means something else to a reward function'
                )
            arguments[key] = [prompt.metadata.get(key) for prompt, _ in responses]
        return arguments if self._trainer_state is None else arguments | {"trainer_state": self._trainer_state()}

    def _accepted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments that the function takes."""
        try:
            signature = inspect.signature(self._function)
        except ValueError:  # built-ins have no signature
            return arguments
        parameters = signature.parameters
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            arguments = {name: value for name, value in arguments.items() if name in parameters}
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise UsageError(
                f"the reward function {self.name}: {error}; it can take prompts, completions, completion_ids, "
                "reference, cohort and the keys of the prompts' metadata, by name"
            ) from error
        return arguments

    def _called(self, arguments: dict[str, Any]) -> Any:
        try:
            returned = self._function(**arguments)
            return self._awaited(returned) if inspect.isawaitable(returned) else returned
        except Exception as error:  # a user's code may raise anything
            last = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{_named(error)} ({last.filename}:{last.lineno})"
            raise PreceptorError(f"the reward function {self.name} failed: {said}") from error

    def _awaited(self, returned: Awaitable[Any]) -> Any:
        async def waited() -> Any:
            return await returned

        if self._background is None:
            self._background = Background(_nothing)
        future = self._background.start(waited())
        try:
            return future.result()
        finally:
            future.cancel()  # leaves nothing running after Ctrl-C

    def _numbers(self, returned: Any, count: int) -> list[float | None]:
        expected = f"expected a list with one number or None for each of {count} responses"
        try:
            listed = list(returned)
        except TypeError as error:
            raise UsageError(f"the reward function {self.name} returned {_short(returned)}; {expected}") from error
        if len(listed) != count:
            raise UsageError(f"the reward function {self.name} returned {len(listed)} values; {expected}")
        return [known(self._number(value, expected)) for value in listed]

    def _number(self, value: Any, expected: str) -> float | None:
        try:
            if not isinstance(value, str | bytes):
                return None if value is None else float(value)
        except (TypeError, ValueError):
            pass
        raise UsageError(f"the reward function {self.name} returned a list with {_short(value)}; {expected}")


def load_reward_function(name: str) -> Callable[..., Any]:
    """Loads the function named by `package.module:function` or `path/file.py:function`. The module is executed.

    Raises: UsageError when it does not exist, cannot be imported, or cannot be called.
    """
    function = load_object(name, "the reward function", "function")
    if not callable(function):
        last = name.rpartition(":")[2]
        raise UsageError(f'the reward function "{name}": expected a function, {last} is a {type(function).__name__}')
    return function


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _named(error: BaseException) -> str:
    """Kind and first line of an error."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _ignore(*_: Any, **__: Any) -> None: ...


async def _nothing() -> None: ...
