"""What RL did in a run, in sentences for its report."""

from collections.abc import Iterator

from preceptor.recipes.settings import RewardFunctionSettings
from preceptor.training.rl.settings import RLSettings
from preceptor.training.trl.checks import trl_loss
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings


def rl_in_words(
    functions: RewardFunctionSettings,
    settings: RLSettings,
    tuning: TuningSettings,
    feedback: str,
    engine: EngineSettings,
) -> Iterator[str]:
    """Describes the parts of the reward, if there was more than AI feedback, how RL used it, and the engine, if it was
    another.

    Args:
        feedback: whose reward AI feedback is, in the report's words, such as "the judge's".
    """
    if functions.functions or functions.aggregation != "sum":
        parts = [f"{weight:g} × {name}" for name, weight in functions.weighted]
        if functions.feedback_weight:
            parts = [f"{functions.feedback_weight:g} × {feedback}", *parts]
        scaled = " Each was normalised within the group before." if functions.aggregation != "sum" else ""
        yield f"The reward of training was the sum of {', '.join(parts)}.{scaled}"
    if settings.dynamic_sampling:
        times = "once" if settings.dynamic_sampling == 1 else f"up to {settings.dynamic_sampling} times"
        yield f"In each step, groups whose rewards did not differ were replaced {times} by groups of other prompts."
    what = "LoRA adapters" if tuning.method == "lora" else "all weights"
    if settings.algorithm == "online_dpo":
        held = f"with β = {settings.kl_coefficient} in its loss"
    else:
        place = "subtracted from the reward" if settings.kl_in == "reward" else "added to the loss"
        held = f"with {settings.kl_coefficient} times the KL to the reference (in nats) {place}"
    name = settings.algorithm.replace("_", " ").upper()
    yield f"{name} turned rewards into updates of {what}, {held}."
    yield from _objective(settings)
    if engine.is_trl:
        yield f"TRL's trainer took the steps{''.join(f', {part}' for part in _engine_parts(engine, settings))}."


def _objective(settings: RLSettings) -> Iterator[str]:
    """What the loss was, where it was not the algorithm's own, and what was added to it."""
    if settings.loss != "clip":
        yield f"Its loss was {settings.loss.upper()}."
    if settings.clip_range_high is not None:
        yield f"Probability ratios were clipped to at most {1 + settings.clip_range_high:g}."
    if settings.entropy_coefficient:
        yield f"A nat of entropy per token was worth {settings.entropy_coefficient:g} in the loss."
    if settings.truncated_importance is not None:
        yield (
            "What was sampled was weighted by the learner's probability over the sampler's, at most by "
            f"{settings.truncated_importance:g}."
        )


def _engine_parts(engine: EngineSettings, settings: RLSettings) -> Iterator[str]:
    if settings.algorithm == "grpo":
        yield f"with the loss {trl_loss(engine, settings)}"
    if engine.importance_sampling == "sequence":
        yield "with one probability ratio for each response"
    if engine.vllm != "off":
        yield "responses were sampled by vLLM"
    if engine.quantisation != "none":
        yield "the frozen base was kept in 4 bits"
    yield from (f"with {name} = {value}" for name, value in engine.trl.items())
