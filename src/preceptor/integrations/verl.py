"""A judge as verl's reward function. verl loads it by its own loader:

    reward.custom_reward_function.path=pkg://preceptor.integrations.verl
    +reward.custom_reward_function.reward_kwargs.judge.model=openai:NAME@URL
    +reward.custom_reward_function.reward_kwargs.judge.constitution=helpful

verl gives a reward function the response, but not the prompt. The prompt comes from the dataset's `extra_info`.
"""

from collections.abc import Mapping
from typing import Any

import preceptor as pc
from preceptor.integrations.judges import judge_of
from preceptor.integrations.remote import RemoteReward


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, Any] | None = None,
    *,
    judge: Mapping[str, Any] | None = None,
    prompt_key: str = "question",
    failure_score: float | None = None,
    **_others: object,
) -> dict[str, float]:
    """The judge's reward for one response, with the signature that verl's reward managers call.

    A failure has no number in verl: a reward is a float, and there is no mask for one response. So a failure stops the
    training, unless `failure_score` says which reward stands for it; `judge_failed` then counts the cases.

    Args:
        data_source: what verl passes; not used, and neither is `ground_truth`.
        solution_str: the response.
        extra_info: the row's `extra_info`, which has the prompt.
        judge: the arguments of `preceptor.Judge` by name; or those of `RemoteReward`, `url` among them, for a judge in
            a service.
        prompt_key: the key of the prompt in `extra_info`: a text, or a list of messages.
        failure_score: reward for a response that the judge failed on; None to raise an error.

    Returns: `score`, the reward, and `judge_failed`, 1 for a failure and else 0; verl averages it over validation rows.

    Raises: UsageError when `extra_info` has no prompt; PreceptorError when the judge failed and no `failure_score` is
        set, and as `preceptor.Judge.ascore`.
    """
    settings = judge or {}
    source = RemoteReward(**settings) if "url" in settings else judge_of(settings)
    reward = await source.areward(_prompt(extra_info or {}, prompt_key), solution_str)
    if not isinstance(reward, pc.JudgeFailure):
        return {"score": reward, "judge_failed": 0.0}
    if failure_score is None:
        raise pc.PreceptorError(
            f"the judge failed on a response to a prompt of {data_source}: {reward.reason} ({reward.detail}); to train "
            "on with a reward of your choice, set reward_kwargs.failure_score"
        )
    return {"score": float(failure_score), "judge_failed": 1.0}


def _prompt(extra_info: Mapping[str, Any], key: str) -> Any:
    prompt = extra_info.get(key)
    if prompt is None:
        raise pc.UsageError(
            f'extra_info has no "{key}" (it has {", ".join(sorted(map(str, extra_info))) or "nothing"}); verl does not '
            "pass the prompt to a reward function: add it to extra_info in the dataset, or name its key in "
            "reward_kwargs.prompt_key"
        )
    return prompt if isinstance(prompt, str) else list(prompt)
