"""A judge as a judge plug-in of verifiers 0.4. A taskset's configuration plugs it in by the id `preceptor-judge`:

    [[env.taskset.task.judges]]
    id = "preceptor-judge"
    model = "openai:NAME@URL"
    constitution = "helpful"

A task's own `@vf.reward` method can construct it and await `score` as well.
"""

from collections.abc import Sequence
from typing import Any

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]
from pydantic import Field, model_validator
from verifiers.v1.dialects.chat import message_to_wire  # pyright: ignore[reportMissingImports]

import preceptor as pc
from preceptor.integrations.judges import judge_of


class PreceptorJudgeConfig(vf.JudgeConfig):  # pyright: ignore[reportUntypedBaseClass]
    """Settings of a plugged judge. The endpoint is part of the model string, so `base_url` and `api_key_var` are not
    used; keys come from the variables that preceptor reads.
    """

    id: vf.ID = "preceptor-judge"
    model: str = "embedded"
    """A model string of preceptor, such as `openai:NAME@URL`."""
    constitution: str = "helpful"
    """Name of a shipped constitution, or path of a .toml file."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of `preceptor.Judge`, such as `variant` or `connection`."""
    view: vf.JudgeView = "last_reply"
    """What is judged: the last reply, or `full_trace`, every message after the prompt."""

    @model_validator(mode="after")
    def _has_no_prompt_of_its_own(self) -> "PreceptorJudgeConfig":
        if self.prompt is not None or self.sampling != vf.SamplingConfig():
            raise ValueError("preceptor-judge takes no `prompt` and no `sampling`: its constitution says how it asks")
        return self


class PreceptorJudge(vf.Judge[float, PreceptorJudgeConfig]):  # pyright: ignore[reportUntypedBaseClass]
    """Scores a rollout's response by a constitution."""

    async def score(self, task: Any, trace: Any) -> float:
        """The expected score, from 0 for the lowest value of the constitution's scale to 1 for the highest.

        The call and its tokens are recorded in the trace.

        Raises: PreceptorError when the judge failed, so that the trace has an error and no reward.
        """
        config = self.config
        judge = judge_of({"model": config.model, "constitution": config.constitution, **config.arguments})
        prompt = _prompt(task)
        response = trace.last_reply if config.view == "last_reply" else _after_prompt(trace.branches[-1].messages)
        outcome = await judge.ascore(prompt, response)
        if isinstance(outcome, pc.JudgeFailure):
            failure, value, usage = f"the judge failed: {outcome.reason} ({outcome.detail})", None, outcome.usage
        else:
            failure, value, usage = "", (outcome.rescaled + 1) / 2, outcome.verdict.usage
        trace.record_judge_call(
            name=self.reward_name,
            request={"model": config.model, "messages": prompt, "response": response, "judge": repr(judge)},
            response=vf.JudgeResponse(
                text=failure or repr(outcome),
                parsed=value,
                usage=vf.Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens),
            ),
        )
        if value is None:
            raise pc.PreceptorError(failure)
        return value


def _prompt(task: Any) -> list[Any]:
    asked = [{"role": "user", "content": task.prompt}] if isinstance(task.prompt, str) else _wire(task.prompt or [])
    return [*([{"role": "system", "content": task.system_prompt}] if task.system_prompt else []), *asked]


def _after_prompt(messages: Sequence[Any]) -> list[Any]:
    first = next((n for n, message in enumerate(messages) if message.role not in ("system", "user")), len(messages))
    return _wire(messages[first:])


def _wire(messages: Sequence[Any]) -> list[Any]:
    wire: list[Any] = [message_to_wire(message) for message in messages]
    return [{key: value for key, value in message.items() if key in pc.Message.model_fields} for message in wire]


__all__ = ["PreceptorJudge", "PreceptorJudgeConfig"]
