"""The judges and prompts used to train the evaluated policies, as far as their runs record them."""

from collections.abc import Iterator, Sequence

from preceptor.core.types import Prompt
from preceptor.judging.relations import SAME_WEIGHTS, relation
from preceptor.judging.specs import JudgeSpec
from preceptor.recipes.environments import EnvironmentSettings
from preceptor.results.run import LabelRecord
from preceptor.runs.directory import RunDirectory
from preceptor.runs.inputs import read_inputs
from preceptor.runs.lineage import origin_of, run_around
from preceptor.store.files import read_json
from preceptor.store.prompts import split_held_out
from preceptor.tasks.evaluate.policies import EvaluatedPolicy


def training_judge(policies: Sequence[EvaluatedPolicy]) -> JudgeSpec | None:
    """The judge of the first run with a judge among the policies; None if there is none."""
    judges = (run.recipe.training_judge for _, run in _runs(policies))
    return next((judge.evaluation_spec for judge in judges if judge is not None), None)


def training_models(policies: Sequence[EvaluatedPolicy]) -> set[str]:
    """Identities of all models that judged in the training of a policy."""
    return {judge for _, run in _runs(policies) for judge in judges_of(run)}


def judges_of(run: RunDirectory) -> list[str]:
    """Identities of the models that judged in the training of a run or of its rounds, whether or not it is finished."""
    labels, inputs = run.stage_result("labels", LabelRecord), run.path / "inputs.json"
    pinned = read_json(inputs).get("judge") if inputs.exists() else None
    of_rounds = [judge for each in run.rounds() for judge in judges_of(each)]
    return [*(labels.judges if labels else ()), *([str(pinned)] if pinned else ()), *of_rounds]


def trained_on(policies: Sequence[EvaluatedPolicy], prompts: Sequence[Prompt]) -> dict[str, int]:
    """How many of the prompts each policy was trained on; policies with none are left out."""
    counts: dict[str, int] = {}
    for name, run in _runs(policies):
        seen = {text for each in (run, *run.rounds()) for text in _seen_by(each)}
        if count := sum(prompt.text in seen for prompt in prompts):
            counts[name] = count
    return counts


def _seen_by(run: RunDirectory) -> set[str]:
    """The texts of the prompts that a run trains on."""
    inputs = read_inputs(run.recipe)
    training, _ = split_held_out(inputs.prompts, run.recipe.evaluation.heldout_share)
    return {prompt.text for prompt in training} | {row.prompt.text for row in inputs.demonstrations}


def chosen_on(policies: Sequence[EvaluatedPolicy], prompts: Sequence[Prompt]) -> dict[str, int]:
    """On how many of the prompts each policy's checkpoint may have been chosen: those that its run held out, if that
    run had no separate test prompts. Policies with none are left out.
    """
    counts: dict[str, int] = {}
    for name, run in _runs(policies):
        if not run.has_test_prompts:
            _, held_out = split_held_out(read_inputs(run.recipe).prompts, run.recipe.evaluation.heldout_share)
            if count := len({prompt.text for prompt in held_out} & {prompt.text for prompt in prompts}):
                counts[name] = count
    return counts


def without_tools(policies: Sequence[EvaluatedPolicy]) -> tuple[str, ...]:
    """The policies that were trained to act with tools. An evaluation asks them for single answers, without any."""
    sampled = [policy for policy in policies if policy.model is not None]
    return tuple(name for name, run in _runs(sampled) if run.recipe.table(EnvironmentSettings) is not None)


def related_policies(judges: Sequence[JudgeSpec], policies: Sequence[EvaluatedPolicy]) -> dict[str, str]:
    """How the closest judge is related to each policy, in words with {} for the policy; policies with no known
    relation, and those with a judge's own weights, are left out.
    """
    related: dict[str, str] = {}
    for policy in policies:
        origin = origin_of(policy.source)
        known = [found for judge in judges if (found := relation(origin_of(judge.model), origin, "{}")) is not None]
        if known and (closest := max(known, key=lambda found: found.closeness)).closeness < SAME_WEIGHTS:
            related[policy.name] = closest.words
    return related


def _runs(policies: Sequence[EvaluatedPolicy]) -> Iterator[tuple[str, RunDirectory]]:
    """Each policy's name with the run that it is or belongs to; other policies are left out."""
    for policy in policies:
        if (run := run_around(policy.source)) is not None:
            yield policy.name, run
