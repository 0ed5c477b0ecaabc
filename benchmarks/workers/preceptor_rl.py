"""Steps of direct RLAIF in preceptor, as `preceptor run quickstart` takes them between two checkpoints."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.worker import Parts
from benchmarks.workers.training import Facts, quick_start_judge, serve_steps, timed, use_threads
from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.methods.parts.reinforcement import whole_reward
from preceptor.recipes.direct_rlaif import DirectRlaifRecipe
from preceptor.recipes.load import load_recipe
from preceptor.store.prompts import read_prompts
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, dtype_of
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.loop import train
from preceptor.training.rl.rewards import JudgeReward
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, TrainingContext


class EndlessModel(LocalModel):
    """A model without an end-of-response token, so that all responses have the same length."""

    @property
    def eos_ids(self) -> list[int]:
        """An id that no token has."""
        return [int(self.model.config.vocab_size)]


def run(settings: dict[str, Any], pause: Callable[[Facts], None]) -> None:
    """Trains until the process ends.

    Args:
        settings: `rl` (overrides of the recipe's), `prompts` (a file of training prompts), `threads`.
    """
    use_threads(settings)
    recipe = load_recipe("quickstart")
    assert isinstance(recipe, DirectRlaifRecipe)
    rl = recipe.rl.model_copy(update=settings["rl"])
    prompts = read_prompts(settings["prompts"])
    root, processes, parts = Path(tempfile.mkdtemp()), Processes(), Parts()

    policy = Policy(EndlessModel(load(recipe.policy, dtype_of(recipe.tuning))), recipe.tuning, recipe.seed)
    updater = Updater(policy, make_algorithm(rl), rl, processes)
    judge = quick_start_judge(root / "ledger.sqlite", recipe.judge.constitution)
    rewards = whole_reward(JudgeReward(judge, recipe.judge.reward), recipe.rewards, recipe.reward_processing)
    files = RunFiles(root)

    policy.sample = timed(parts, "generation", policy.sample)
    policy.reference_log_probs = timed(parts, "reference", policy.reference_log_probs)
    updater.update = timed(parts, "update", updater.update)
    files.save_step = timed(parts, "saving", files.save_step)

    def ready(step: int) -> bool:
        pause({})
        return True

    def on_step(step: int, facts: UpdateFacts) -> None:
        responses = rl.prompts_per_step * rl.group_size
        spent = dict(parts.seconds)
        spent["update"] -= spent["reference"]
        parts.seconds.clear()
        pause({"units": responses, "tokens": round(facts.tokens * responses), "parts": spent})

    train(
        policy,
        updater,
        timed(parts, "judging", rewards),
        prompts,
        rl,
        TrainingContext(Checkpointing(files, rl.steps, ready), recipe.seed, processes),
        on_step=on_step,
    )


if __name__ == "__main__":
    serve_steps(run)
