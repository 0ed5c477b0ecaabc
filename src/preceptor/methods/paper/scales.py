"""How much of the paper is done: `tiny` on two CPU cores in minutes, `small` on one GPU, `paper` as the paper did."""

from typing import Literal, TypeAlias

from preceptor.core.types import Frozen
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.policies.scale import PAPER, SMALL, TINY, PolicyScale
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.tuning import TuningSettings

ScaleName: TypeAlias = Literal["tiny", "small", "paper"]


class Scale(Frozen):
    """One scale."""

    name: ScaleName
    comparisons: int | None
    """Comparisons of people that judges label for each task, and from which reward models learn; None for all."""
    audited: dict[Task, float]
    """Share of these comparisons by which judges are measured; a task that is not named has all of them."""
    held_out: int | None
    """Comparisons of people on which reward models are measured, of other prompts; None for all held out."""
    held_out_share: float
    """Share of the prompts that is held out."""
    longest: int | None
    """Most characters of a comparison's prompt and responses together; None for any."""
    shots: tuple[int, ...]
    """Numbers of exemplars without a rationale."""
    shots_with_rationale: tuple[int, ...]
    rationale_tokens: int
    samples: tuple[int, ...]
    """Numbers of rationales for self-consistency."""
    temperatures: tuple[float, ...]
    reward_model: RewardModelSettings
    """Of summaries; `reward_model_for` has that of each task."""
    tuning: TuningSettings
    policies: PolicyScale

    def reward_model_for(self, task: Task) -> RewardModelSettings:
        """How a task's reward model is trained: the paper's batches of dialogues have at most 32 pairs."""
        batch_size = self.reward_model.batch_size if task == "summaries" else min(32, self.reward_model.batch_size)
        return self.reward_model.model_copy(update={"batch_size": batch_size})


SCALES: dict[str, Scale] = {
    "tiny": Scale(
        name="tiny",
        comparisons=16,
        audited={},
        held_out=32,
        held_out_share=0.3,
        longest=600,
        shots=(0, 2),
        shots_with_rationale=(0,),
        rationale_tokens=24,
        samples=(2,),
        temperatures=(1.0,),
        reward_model=RewardModelSettings(epochs=2, batch_size=8, learning_rate=1e-4, max_length=384),
        tuning=TuningSettings(rank=8),
        policies=TINY,
    ),
    "small": Scale(
        name="small",
        comparisons=400,
        audited={},
        held_out=200,
        held_out_share=0.25,
        longest=6000,
        shots=(0, 1, 2, 8),
        shots_with_rationale=(0, 1, 2),
        rationale_tokens=160,
        samples=(4, 16),
        temperatures=(0.3, 1.0),
        reward_model=RewardModelSettings(epochs=3, batch_size=32, learning_rate=5e-5),
        tuning=TuningSettings(),
        policies=SMALL,
    ),
    "paper": Scale(
        name="paper",
        comparisons=None,
        audited={"summaries": 0.15, "helpful": 0.1, "harmless": 0.1},
        held_out=None,
        held_out_share=0.1,
        longest=None,
        shots=(0, 1, 2, 8),
        shots_with_rationale=(0, 1, 2),
        rationale_tokens=512,
        samples=(4, 16),
        temperatures=(0.3, 0.5, 0.7, 1.0),
        reward_model=RewardModelSettings(
            optimizer="adafactor", epochs=3, batch_size=128, learning_rate=1e-5, max_length=1152
        ),
        tuning=TuningSettings(method="full"),
        policies=PAPER,
    ),
}
"""The scales by their name. Those of `paper` are the paper's appendices D and G."""
