"""How much the policies of a scale are trained and measured."""

import math

from pydantic import JsonValue

from preceptor.core.types import Frozen, JsonObject
from preceptor.recipes.settings import EvaluationSettings
from preceptor.training.rl.settings import RLSettings
from preceptor.training.sft.settings import SftSettings
from preceptor.training.trl.settings import EngineSettings

TINY_BOUNDS = {"max_kl": 1e3, "max_perplexity_ratio": 10.0, "min_distinct_ratio": 0.1, "max_limit_increase": 1.0}
"""Bounds that hardly bind: three validation prompts say too little to exclude a checkpoint."""


class PolicyScale(Frozen):
    """The training of policies at one scale, and the prompts on which they are compared."""

    other_tasks: bool
    """Whether all of the paper's tasks are run; if not, one task stands for summaries and helpful dialogue."""
    longest_prompt: int
    """Most characters of a prompt; the paper's 1,024 tokens are about 4,096."""
    training_prompts: int | None
    """Prompts for RL and for sampled pairs; None for all that are not for testing."""
    held_out_prompts: int
    """Further prompts, held out by each run: most choose its checkpoint, and a few measure the run itself."""
    test_prompts: int
    """Prompts on which policies are compared, which nothing else uses; at most a third of all."""
    demonstrations: int | None
    """Demonstrations of the fine-tuning before RL; None for all."""
    references: int | None
    """Reference answers whose perplexity guards general ability; None for all that ship with preceptor."""
    way: str
    """How judges are asked for the labels of RLAIF: a variant."""
    sft: SftSettings
    rl: RLSettings
    passes: int | None
    """How often RL goes through the training prompts, one response each; None to take `rl.steps`."""
    evaluation: EvaluationSettings
    engine: EngineSettings = EngineSettings()

    def rl_for(self, prompts: int) -> RLSettings:
        """The settings of RL on this many training prompts. With several responses to a prompt in a step, it is visited
        less often and answered as often.
        """
        if self.passes is None:
            return self.rl
        batch = self.rl.prompts_per_step * self.rl.group_size
        return self.rl.model_copy(update={"steps": math.ceil(self.passes * prompts / batch)})


def _rl(**own: JsonValue) -> RLSettings:
    """The settings of RL at a scale: the paper's, with two responses to a prompt, and the scale's own."""
    shared: JsonObject = {"group_size": 2, "max_new_tokens": 128, "temperature": 0.9, "kl_coefficient": 0.05}
    return RLSettings.model_validate(shared | own)


TINY = PolicyScale(
    other_tasks=False,
    longest_prompt=1000,
    training_prompts=24,
    held_out_prompts=6,
    test_prompts=20,
    demonstrations=24,
    references=6,
    way="detailed",
    sft=SftSettings(epochs=1, batch_size=8, learning_rate=1e-4, max_length=512),
    rl=_rl(
        algorithm="reinforce",
        baseline="value",
        steps=4,
        prompts_per_step=8,
        max_new_tokens=24,
        learning_rate=1e-3,
    ),
    passes=None,
    evaluation=EvaluationSettings.model_validate(
        {
            "heldout_share": 0.3,
            "validation_share": 0.5,
            "samples_per_prompt": 1,
            "checkpoint_every": 2,
            "stop_early": False,
            "bounds": TINY_BOUNDS,
        }
    ),
)
SMALL = PolicyScale(
    other_tasks=True,
    longest_prompt=4096,
    training_prompts=1000,
    held_out_prompts=100,
    test_prompts=200,
    demonstrations=2000,
    references=None,
    way="detailed+cot",
    sft=SftSettings(epochs=1, batch_size=32, learning_rate=1e-4, gradient_accumulation_steps=4),
    rl=_rl(
        algorithm="reinforce",
        baseline="value",
        prompts_per_step=32,
        learning_rate=1e-4,
        gradient_accumulation_steps=4,
    ),
    passes=4,
    evaluation=EvaluationSettings(heldout_share=0.1, validation_share=0.8, samples_per_prompt=1, checkpoint_every=10),
)
PAPER = PolicyScale(
    other_tasks=True,
    longest_prompt=4096,
    training_prompts=None,
    held_out_prompts=500,
    test_prompts=2000,
    demonstrations=None,
    references=None,
    way="detailed+cot",
    sft=SftSettings(
        optimizer="adafactor",
        epochs=1,
        batch_size=128,
        learning_rate=1e-5,
        max_length=1152,
        gradient_accumulation_steps=16,
    ),
    rl=_rl(
        optimizer="adafactor",
        algorithm="rloo",
        prompts_per_step=64,
        learning_rate=1e-5,
        gradient_accumulation_steps=16,
    ),
    passes=8,
    evaluation=EvaluationSettings(heldout_share=0.05, validation_share=0.8, samples_per_prompt=1, checkpoint_every=100),
    engine=EngineSettings(name="trl"),
)
