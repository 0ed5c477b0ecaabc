"""All inputs of a recipe besides models, read and checked before anything is run or written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from preceptor.backends.names import ADAPTERS, check_name, is_served
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.types import Prompt
from preceptor.evaluation.intervals import LEAST as LEAST_FOR_INTERVAL
from preceptor.evaluation.judges.licence import HOW, WAIVING
from preceptor.evaluation.judges.licence import load as load_licence
from preceptor.judging import bias_correction
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.rubrics.items import check_rubrics
from preceptor.judging.specs import check_judges
from preceptor.recipes.base import Recipe
from preceptor.recipes.environments import EnvironmentSettings
from preceptor.recipes.load import dump_recipe
from preceptor.recipes.settings import (
    ComparingJudgeSettings,
    JudgeSettings,
    PreferenceSettings,
    RewardingJudgeSettings,
    SftTable,
)
from preceptor.store.demonstrations import Demonstration, read_demonstrations
from preceptor.store.files import content_of
from preceptor.store.in_memory import name_of
from preceptor.store.named_objects import file_of
from preceptor.store.prompts import packaged, read_prompts, split_by, split_held_out, split_validation
from preceptor.store.rated_responses import read_rated_responses
from preceptor.store.training_pairs import read_training_pairs
from preceptor.training.rl.rewards import load_reward_function
from preceptor.training.rl.settings import RLSettings
from preceptor.training.tracking import check_tracker

LEAST = 3
"""The least number of prompts that gives an interval."""
NO_LICENCE = (
    f"the recipe asks for a judge with a licence to train, and none is named. {HOW}; name it by licence.file. {WAIVING}"
)
_SAME_JUDGE = (
    "the held-out judge is the training judge's model, so nothing independent measures this run; name another one with "
    "evaluation.judge.model"
)


@dataclass(frozen=True)
class Split:
    """The prompts of a run."""

    training: list[Prompt]
    validation: list[Prompt]
    """Held-out prompts that choose the checkpoint and stop training."""
    test: list[Prompt]
    """Held-out prompts that are used only before and after training."""
    skipped: int = 0
    """Prompts that do not fit the policy's window."""

    @property
    def held_out(self) -> list[Prompt]:
        """All prompts that training never sees."""
        return [*self.validation, *self.test]


@dataclass(frozen=True)
class Inputs:
    """Prompts, reference answers, constitution, demonstrations and people's preferences of a recipe."""

    prompts: list[Prompt]
    references: list[Prompt]
    constitution: Constitution | None
    """The judge's."""
    held_out_constitution: Constitution | None
    """The held-out judge's constitution."""
    demonstrations: list[Demonstration] = field(default_factory=list[Demonstration])
    human: list[Path] = field(default_factory=list[Path])
    """Datasets of people's preferences."""
    notes: tuple[str, ...] = ()
    """Notes for the user about the inputs."""
    labelled: list[Path] = field(default_factory=list[Path])
    """Datasets of a judge's preferences."""
    unpaired: list[Path] = field(default_factory=list[Path])
    """Datasets of responses by themselves."""

    @property
    def constitutions(self) -> tuple[Constitution, ...]:
        """The constitutions of the training judge and the held-out judge."""
        return tuple(c for c in (self.constitution, self.held_out_constitution) if c is not None)

    def hashes(self, recipe: Recipe) -> dict[str, str]:
        """A hash of each input, including the recipe."""
        hashes = {
            "recipe": content_hash(dump_recipe(recipe))[:16],
            "prompts": content_hash([prompt.model_dump(mode="json") for prompt in self.prompts])[:16],
            "references": content_hash([prompt.model_dump(mode="json") for prompt in self.references])[:16],
        }
        if self.constitution is not None:
            hashes["constitution"] = self.constitution.hash
        if self.held_out_constitution is not None:
            hashes["held-out constitution"] = self.held_out_constitution.hash
        if self.demonstrations:
            listed = [
                [
                    d.prompt.model_dump(mode="json"),
                    d.answer,
                    *(message.wire() for message in d.trajectory),
                    *([] if d.thought is None else [d.thought]),
                ]
                for d in self.demonstrations
            ]
            hashes["demonstrations"] = content_hash(listed)[:16]
        acts_in = recipe.table(EnvironmentSettings)
        environments = [] if acts_in is None else [acts_in.name]
        own = (("method", [recipe.method]), ("reward function", recipe.reward_functions), ("environment", environments))
        for what, names in own:
            files = [file for name in names if (file := file_of(name)) is not None]
            hashes |= {f"{what} {file.name}": content_of(file)[:16] for file in files}
        if (licence := recipe.licence_asked_for) is not None and licence.file is not None:
            hashes["licence"] = content_of(Path(licence.file))[:16]
        if recipe.training_judge is not None and recipe.training_judge.bias is not None:
            hashes["bias correction"] = content_of(Path(recipe.training_judge.bias))[:16]
        if self.human:
            hashes["human preferences"] = content_hash([content_of(path) for path in self.human])[:16]
        if recipe.begin is not None:
            weights = sorted(Path(recipe.begin).glob("*.safetensors"))
            hashes["begin"] = content_hash([content_of(path) for path in weights])[:16]
        if self.labelled:
            hashes["labelled preferences"] = content_hash([content_of(path) for path in self.labelled])[:16]
        if self.unpaired:
            hashes["unpaired responses"] = content_hash([content_of(path) for path in self.unpaired])[:16]
        return hashes


def read_inputs(recipe: Recipe) -> Inputs:
    """Reads and checks the inputs of a recipe.

    Raises: UsageError naming what is missing, wrong or too small.
    """
    _check_models(recipe)
    check_tracker(recipe.tracking.tracker)
    judge = recipe.training_judge
    constitution = None if judge is None else _check_judge(judge)
    recipe.check()
    _check_licence(recipe)
    for function in recipe.reward_functions:
        load_reward_function(function)
    held_out_judge = recipe.held_out_judge
    held_out_constitution = None if held_out_judge is None else _check_held_out_judge(held_out_judge)
    prompts = _limited(read_prompts(recipe.prompts), recipe.limit)
    if judge is not None and _needs_rubrics(judge):
        check_rubrics(prompts)
    split = check_split(prompts, recipe)
    held_out = split.held_out
    if recipe.rounds is not None:
        _check_rounds_measured(recipe, constitution, split.validation)
    references = read_prompts(recipe.evaluation.references)
    for prompt in references:
        if not prompt.reference:
            raise UsageError(f'{recipe.evaluation.references}: prompt "{prompt.id}" has no reference answer')
    demonstrations, references, notes = _demonstrations(recipe, references, held_out)
    if held_out_judge is not None and judge is not None and held_out_judge.model == judge.model:
        notes = (*notes, _SAME_JUDGE)
    human = _preferences(recipe.human_preferences, "human")
    labelled = _preferences(recipe.labelled_preferences, "ai")
    unpaired = _unpaired(recipe)
    return Inputs(
        prompts, references, constitution, held_out_constitution, demonstrations, human, notes, labelled, unpaired
    )


def check_split(prompts: list[Prompt], recipe: Recipe) -> Split:
    """Splits prompts into training, validation and test prompts.

    Raises: UsageError when a part is too small.
    """
    name = name_of(recipe.prompts)
    training, held_out = split_held_out(prompts, recipe.evaluation.heldout_share)
    if len(held_out) < 2 * LEAST:
        raise UsageError(
            f"{name}: {len(held_out)} of {len(prompts)} usable prompts are held out; at least {2 * LEAST} "
            f"are needed, {LEAST} for validation and {LEAST} for testing; give more prompts or raise "
            "evaluation.heldout_share"
        )
    rl = recipe.table(RLSettings)
    if rl is not None and len(training) < rl.prompts_per_step:
        raise UsageError(
            f"{name}: {len(training)} training prompts, but rl.prompts_per_step is "
            f"{rl.prompts_per_step}; give more prompts or lower it"
        )
    if rl is not None:
        _check_together(name, training, rl.prompts_per_step)
    if not training:
        raise UsageError(f"{name}: every usable prompt is held out; lower evaluation.heldout_share")
    validation, test = split_validation(held_out, recipe.evaluation.validation_share, LEAST)
    if len(test) < LEAST:
        raise UsageError(
            f"{name}: the {len(held_out)} held-out prompts repeat so few texts that {len(test)} are left "
            f"for testing, and at least {LEAST} are needed; add other prompts or raise evaluation.heldout_share"
        )
    return Split(training, validation, test)


def _check_together(name: str, training: Sequence[Prompt], prompts_per_step: int) -> None:
    """Checks that every step can take prompts that belong together as a whole.

    Raises: UsageError when their sets have several sizes, or a step does not hold whole sets.
    """
    sizes = sorted(set(Counter(prompt.together or prompt.id for prompt in training).values()))
    if len(sizes) > 1:
        raise UsageError(
            f"{name}: by metadata.together, sets of {' and '.join(map(str, sizes))} training prompts belong together; "
            "a step takes whole sets, so all need one size: leave out the incomplete ones, or the key in every row"
        )
    if sizes and prompts_per_step % sizes[0]:
        raise UsageError(
            f"{name}: {sizes[0]} prompts each belong together (metadata.together), and rl.prompts_per_step is "
            f"{prompts_per_step}; a step takes whole sets: expected a multiple of {sizes[0]}"
        )


def data_path(name: str) -> Path:
    """The path of a dataset, or of a packaged set named `package:NAME`."""
    return Path(packaged(name.removeprefix("package:")) if name.startswith("package:") else name)


def _limited(prompts: list[Prompt], limit: int | None) -> list[Prompt]:
    """At most `limit` prompts of all cohorts, in their order. The choice depends only on their texts."""
    if limit is None or limit >= len(prompts):
        return prompts
    chosen = {prompt.id for prompt in sorted(prompts, key=lambda prompt: unit_hash("limit", split_by(prompt)))[:limit]}
    return [prompt for prompt in prompts if prompt.id in chosen]


def _check_models(recipe: Recipe) -> None:
    check_name(recipe.policy)
    if recipe.policy.startswith("scripted:") or is_served(recipe.policy) or recipe.policy.endswith(".gguf"):
        raise UsageError(f'policy = "{recipe.policy}": this form cannot be trained; name a folder, hf:... or embedded')
    if (Path(recipe.policy) / ADAPTERS).is_file():
        raise UsageError(
            f'policy = "{recipe.policy}": these are adapters of another model; merge them first with '
            "`preceptor run --resume RUN --merge` or `preceptor.resume(RUN, merge=True)`, and name the merged folder"
        )
    if recipe.begin is not None:
        _check_begin(recipe)
    if recipe.training_judge is not None:
        check_name(recipe.training_judge.model)
    for model in recipe.other_models:
        check_name(model)
    for constitution in recipe.other_constitutions:
        load_constitution(constitution)


def _check_begin(recipe: Recipe) -> None:
    """Checks that training can begin with the folder that the recipe names."""
    file = ADAPTERS if recipe.tuning.method == "lora" else "config.json"
    if not (Path(recipe.begin or "") / file).is_file():
        raise UsageError(f'begin = "{recipe.begin}": expected the folder of a checkpoint, with {file}')


def _check_rounds_measured(recipe: Recipe, constitution: Constitution | None, validation: Sequence[Prompt]) -> None:
    """Checks that something measures the gain of each round, on enough prompts for an interval."""
    if recipe.held_out_judge is None and (constitution is None or constitution.held_out is None):
        raise UsageError(
            "[rounds] go on while the gain rises, and nothing independent measures it here: name a held-out judge by "
            "evaluation.judge.model"
        )
    if len(validation) < LEAST_FOR_INTERVAL:
        raise UsageError(
            f"{name_of(recipe.prompts)}: {len(validation)} validation prompts, and [rounds] need the interval of the "
            f"gain on at least {LEAST_FOR_INTERVAL}; give more prompts, or raise evaluation.validation_share"
        )
    if recipe.rounds is not None and recipe.rounds.prompts is not None:
        read_prompts(recipe.rounds.prompts)


def _check_judge(judge: JudgeSettings) -> Constitution | None:
    """Checks that the judge can be asked as the recipe says, and returns its constitution; None if it judges by the
    rubrics of prompts.
    """
    if judge.by_rubric is not None:
        return None
    compares = isinstance(judge, ComparingJudgeSettings) and judge.compares
    if judge.bias is not None and not compares:
        _check_score_correction(judge, judge.bias)
    constitution = _check_scoring(judge, "judge", scores=not (judge.is_reward and compares))
    if isinstance(judge, ComparingJudgeSettings) and compares:
        check_judges([judge.spec])
    if isinstance(judge, RewardingJudgeSettings) and judge.escalation is not None:
        check_name(judge.escalation.model)
        _check_scoring(judge.escalation.after(judge), "judge.escalation")
    return constitution


def _check_score_correction(judge: JudgeSettings, file: str) -> None:
    """Checks that there are log-odds of scores, off which a bias can be taken.

    Raises: UsageError that says why not.
    """
    bias_correction.load(Path(file)).of_scores()
    choices = len(load_constitution(judge.constitution).score.values)
    if choices != 2 or judge.reward == "expectation":
        has = f"{judge.constitution} has {choices} choices" if choices != 2 else 'judge.reward is "expectation"'
        raise UsageError(
            f"judge.bias takes a bias off log-odds, and {has}; name a constitution with two choices and leave "
            "judge.reward out, or let the judge compare (judge.mode)"
        )


def _needs_rubrics(judge: JudgeSettings) -> bool:
    """Whether the judge scores, or compares, by the rubrics of prompts."""
    if isinstance(judge, ComparingJudgeSettings) and judge.compares:
        return judge.spec.resolved().shown == "rubric"
    return judge.by_rubric is not None


def _check_scoring(judge: JudgeSettings, table: str, *, scores: bool = True) -> Constitution:
    """Checks that a judge can score as its table says, and returns its constitution.

    Args:
        scores: whether the judge's reward comes from a score.
    """
    constitution = load_constitution(judge.constitution)
    if scores and judge.reward == "log_odds" and len(constitution.score.values) != 2:
        raise UsageError(
            f'{table}.reward = "log_odds" needs a constitution with two choices, {judge.constitution} has '
            f'{len(constitution.score.values)}; leave {table}.reward out, or set it to "expectation"'
        )
    if judge.asking.criteria == "one_call" and not constitution.score.criteria:
        raise UsageError(
            f"{table}.asking.criteria: {judge.constitution} has no criteria to put into one call; "
            "leave the key out, or name a constitution with criteria"
        )
    if judge.asking.thinking is not None and not constitution.score.by_questions:
        raise UsageError(
            f"{table}.asking.thinking: {judge.constitution} scores by completing a plain text, in which no model "
            "thinks; leave the key out, or name a constitution with criteria"
        )
    if judge.asking.rationale and not constitution.score.by_questions:
        raise UsageError(
            f"{table}.asking.rationale: {judge.constitution} scores by completing a text, which has no place for a "
            "rationale; name a constitution with criteria"
        )
    return constitution


def _check_held_out_judge(judge: JudgeSettings) -> Constitution:
    check_name(judge.model)
    return _check_scoring(judge, "evaluation.judge")


def _check_licence(recipe: Recipe) -> None:
    """Checks what a licence needs without opening the judge.

    Raises: UsageError for a file that holds none, and where one is asked for and none is named.
    """
    asked = recipe.licence_asked_for
    if asked is None:
        return
    if asked.file is not None:
        load_licence(Path(asked.file))
    elif not asked.waived:
        raise UsageError(NO_LICENCE)


def _demonstrations(
    recipe: Recipe, references: list[Prompt], held_out: Sequence[Prompt]
) -> tuple[list[Demonstration], list[Prompt], tuple[str, ...]]:
    """The demonstrations to learn, and the reference answers to measure on. They share no prompt, and demonstrations of
    held-out prompts are left out.

    A prompt that is in both is kept in only one, chosen by a hash of its text.
    """
    table = recipe.table(SftTable)
    if table is None:
        return [], references, ()
    read, left_out = read_demonstrations(data_path(table.demonstrations))
    notes = [f"{_demonstrations_are(len(left_out))} left out: {left_out[0]}"] if left_out else []
    unseen = {prompt.text for prompt in held_out}
    shared = {prompt.text for prompt in references} & {demonstration.prompt.text for demonstration in read}
    measured = {text for text in shared if unit_hash("reference", text) < 0.5}
    demonstrations = [demonstration for demonstration in read if demonstration.prompt.text not in unseen | measured]
    if len(read) > len(demonstrations):
        notes.append(f"{_demonstrations_are(len(read) - len(demonstrations))} left out, to measure on the same prompts")
    if not demonstrations:
        raise UsageError(f"{table.demonstrations}: no demonstration to learn from; {' '.join(notes) or 'it is empty'}")
    kept = [prompt for prompt in references if prompt.text not in shared - measured]
    return demonstrations, kept, tuple(notes)


def _demonstrations_are(count: int) -> str:
    return "1 demonstration is" if count == 1 else f"{count} demonstrations are"


def _preferences(names: Sequence[str], labels: Literal["ai", "human"]) -> list[Path]:
    """Datasets of a judge's or of people's preferences, each checked to have at least one."""
    paths = [data_path(name) for name in names]
    whose = "people" if labels == "human" else "a judge"
    for name, path in zip(names, paths, strict=True):
        pairs, left_out = read_training_pairs(path, labels=labels)
        if not pairs:
            raise UsageError(f"{name}: holds no preference of {whose}: {left_out[0] if left_out else 'it is empty'}")
    return paths


def _unpaired(recipe: Recipe) -> list[Path]:
    """Datasets of responses by themselves, each checked to have at least one."""
    table, paths = recipe.table(PreferenceSettings), [data_path(name) for name in recipe.unpaired_responses]
    for name, path in zip(recipe.unpaired_responses, paths, strict=True):
        rated, left_out = read_rated_responses(path, threshold=None if table is None else table.threshold)
        if not rated:
            raise UsageError(f"{name}: holds no rated response: {left_out[0] if left_out else 'it is empty'}")
    return paths
