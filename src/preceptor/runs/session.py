"""A run in progress: what the programs of all methods share."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.progress import Progress
from preceptor.core.types import Frozen, Prompt
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.judging.kept import keep_constitutions
from preceptor.recipes.base import Recipe
from preceptor.recipes.environments import EnvironmentSettings
from preceptor.results.run import UsablePrompts
from preceptor.runs.directory import RunDirectory
from preceptor.runs.held_out import HeldOut, held_out_measure
from preceptor.runs.inputs import Inputs, Split, check_split, read_inputs
from preceptor.runs.publish import checkpoint_card
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, dtype_of
from preceptor.training.processes import Processes
from preceptor.training.response_format import ResponseFormat
from preceptor.training.rl.settings import RLSettings, needs_values
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.thinking_settings import PolicyThinking

Stage = TypeVar("Stage", bound=Frozen)


class Session:
    """A run in progress, in each of its processes.

    Args:
        merge: also write the chosen model with its adapters merged into the weights.
    """

    def __init__(self, directory: RunDirectory, progress: Progress, processes: Processes, *, merge: bool) -> None:
        self.directory = directory
        self.recipe: Recipe = directory.recipe
        self.progress = progress
        self.processes = processes
        self.merge = merge
        self.inputs: Inputs = read_inputs(directory.recipe)
        self.files = RunFiles(directory.path, partial(checkpoint_card, self.recipe))
        self._earlier_seconds = self.files.seconds()
        self._begun = time.perf_counter()
        self._spare: LocalModel | None = None
        """The recipe's policy, loaded to check which prompts fit and kept until the next stage needs the memory."""
        processes.on_main(lambda: directory.pin_inputs(self.inputs.hashes(directory.recipe)))
        processes.on_main(lambda: keep_constitutions(directory.path, self.inputs.constitutions))
        for note in self.inputs.notes:
            progress.note(note)
        acts_in = self.recipe.table(EnvironmentSettings)
        self.held_out: HeldOut | None = held_out_measure(
            self.recipe.held_out_judge,
            self.inputs.constitution,
            directory.path / "evaluations" / "ledger.sqlite",
            lambda identity: directory.pin_inputs({"held-out judge": identity}),
            environment=acts_in and acts_in.name,
        )
        """In the main process only; None if nothing independent measures the run."""

    def close(self) -> None:
        """Closes the held-out measure."""
        if self.held_out is not None:
            self.held_out.close()

    @property
    def seconds(self) -> float:
        """Seconds the run has taken, in this process and earlier ones."""
        return self._earlier_seconds + time.perf_counter() - self._begun

    def stage(
        self, name: str, words: str, kind: type[Stage], work: Callable[[], Stage], *, together: bool = False
    ) -> Stage:
        """Does a part of the run once. The result of an earlier process is reused.

        Args:
            name: name of its result in `stages/`.
            words: shown to the user while it works.
            kind: the type of the result, a frozen pydantic model.
            work: returns the result; everything else it makes is in the run directory.
            together: every process works; otherwise only the main process does.
        """
        kept = self.processes.on_main(lambda: self.directory.stage_result(name, kind))
        if kept is not None:
            return kept
        self.progress.stage(words)
        self._spare = None
        begun = time.perf_counter()
        result = work() if together else self.processes.on_main(work)
        self.processes.on_main(lambda: self.directory.finish_stage(name, result, time.perf_counter() - begun))
        return result

    def snapshot(self, name: str, measure: Callable[[], Snapshot]) -> Snapshot:
        """The measurement of that name; made by the main process, unless it exists."""
        return self.processes.on_main(lambda: self.directory.snapshot(name, measure))

    def pin(self, what: str, identity: str) -> None:
        """Records a model's identity; later processes must use the same one."""
        self.processes.on_main(lambda: self.directory.pin_inputs({what: identity}))

    def load(self, name: str) -> LocalModel:
        """Loads a model for training."""
        recipe = self.recipe
        return LocalModel(load(name, dtype_of(recipe.tuning), four_bits=recipe.engine.quantisation == "4bit"))

    def training_context(self, at_checkpoint: Callable[[int], bool]) -> TrainingContext:
        """What this run's training is given besides its policy, its data and its settings.

        Args:
            at_checkpoint: called in the main process at every checkpoint; returns False to stop early.
        """
        every = self.recipe.evaluation.checkpoint_every
        return TrainingContext(Checkpointing(self.files, every, at_checkpoint), self.recipe.seed, self.processes)

    def open_policy(self, name: str, rl: RLSettings | None = None) -> Policy:
        """Opens a model as the policy to train; it is also the policy's reference. The policy begins with other weights
        if the recipe names some.

        Args:
            rl: the settings by which it is trained, if that is by RL.
        """
        spare, self._spare = self._spare, None
        model = spare if spare is not None and name == self.recipe.policy else self.load(name)
        recipe = self.recipe
        policy = Policy(
            model,
            recipe.tuning,
            recipe.seed,
            values=rl is not None and needs_values(rl),
            sampler_log_probs=rl is not None and rl.truncated_importance is not None and not recipe.engine.is_trl,
            thinking=recipe.thinking,
        )
        if recipe.begin is not None:
            policy.load(Path(recipe.begin), 0)
        return policy

    def split(self, count: Callable[[LocalModel, Prompt], int] | None = None) -> Split:
        """Splits the prompts that leave room for an answer in the policy's context window.

        Args:
            count: the number of tokens of a prompt, if it has more than its conversation, such as tools.
        """
        recipe, prompts = self.recipe, self.inputs.prompts
        longest = max(recipe.heldout_decoding.max_new_tokens, recipe.decoding.max_new_tokens)

        def fit() -> UsablePrompts:
            self._spare = model = self.load(recipe.policy)
            self.directory.pin_inputs({"base model": model.identity})
            usable = within_window(prompts, model, longest, count or partial(prompt_tokens, thinking=recipe.thinking))
            check_split(usable, recipe)
            if skipped := len(prompts) - len(usable):
                self.progress.note(f"{skipped} prompts do not fit the policy's context window and are skipped")
            return UsablePrompts(usable=tuple(prompt.id for prompt in usable))

        kept = set(self.stage("prompts", "reading the prompts", UsablePrompts, fit).usable)
        usable = [prompt for prompt in prompts if prompt.id in kept]
        return replace(check_split(usable, recipe), skipped=len(prompts) - len(usable))


def prompt_tokens(model: LocalModel, prompt: Prompt, thinking: PolicyThinking | None = None) -> int:
    """The number of tokens of a prompt's conversation, ready for the answer, and of the longest thought."""
    form = ResponseFormat(model.tokenizer, thinking)
    budget = form.budget(0)
    return len(form.encode(prompt)) + (0 if budget is None else budget.whole)


def within_window(
    prompts: list[Prompt],
    model: LocalModel,
    max_new_tokens: int,
    count: Callable[[LocalModel, Prompt], int] = prompt_tokens,
) -> list[Prompt]:
    """The prompts that leave room for an answer in the model's context window, without those that belong together with
    one that does not.

    Args:
        count: the number of tokens of a prompt.
    """
    room = model.context_window - max_new_tokens
    fitting = [prompt for prompt in prompts if count(model, prompt) <= room]
    kept = {prompt.id for prompt in fitting}
    incomplete = {prompt.together for prompt in prompts if prompt.id not in kept} - {None}
    return [prompt for prompt in fitting if prompt.together not in incomplete]
