"""Comparing a task's policies on its test prompts, by a judge that labels nothing if there is one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from preceptor.core.types import Prompt
from preceptor.judging.specs import JudgeSpec
from preceptor.judging.warnings import judge_warnings
from preceptor.methods.paper.asking import asked
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.policies.answers import Answer, answers, test_prompts, write_formatted
from preceptor.methods.paper.policies.prompts import prompt_row, task_folder
from preceptor.methods.paper.policies.training import Trained, trained
from preceptor.methods.paper.policies.ways import UNSTRIPPED, labelled_by, ways_of
from preceptor.methods.paper.table import Setup, Work
from preceptor.methods.paper.words import named
from preceptor.results.evaluation import EvaluationResult
from preceptor.store.files import write_rows
from preceptor.tasks.evaluate.evaluate import evaluate


def measuring_judge(setup: Setup, task: Task) -> JudgeSpec:
    """The judge that compares a task's policies, in both orders and without a rationale."""
    return asked(setup.measured_by, task, setup.scale, "detailed")


def judges_of_people(setup: Setup, task: Task) -> list[JudgeSpec]:
    """The judges by whom people's comparisons of a task are labelled for its policies: those from whom policies learn,
    and the one that compares them.
    """
    labelling = [labelled_by(setup, task, way) for way in ways_of(setup, task)]
    return list(dict.fromkeys([*(j for j in labelling if j is not None), measuring_judge(setup, task)]))


def compared_answers(work: Work, task: Task) -> tuple[Trained, dict[str, list[Answer]]]:
    """A task's policies and their answers, without the one that only shows what stripping prevents."""
    policies = trained(work, task)
    sources = {name: source for name, source in policies.policies.items() if name != UNSTRIPPED}
    return policies, answers(work, task, sources)


def compared(work: Work, task: Task) -> tuple[Trained, EvaluationResult]:
    """A task's policies, and every one of them against every other, with formatted answers.

    Raises: PreceptorError when a model cannot be asked or trained.
    """
    policies, by_policy = compared_answers(work, task)
    folder, setup = task_folder(work, task), work.setup
    prompts = _answered(test_prompts(work, task), by_policy)
    files = write_formatted(folder / "formatted", by_policy)
    return policies, evaluate(
        {name: files[name] for name in by_policy},
        judge=measuring_judge(setup, task),
        prompts=[_written(folder / "compared.jsonl", prompts)],
        out=folder / "evaluation",
        ask_training_judge=False,
        connection=setup.connection,
        progress=work.progress,
    )


def doubts(work: Work, task: Task, policies: Trained, evaluation: EvaluationResult) -> tuple[str, ...]:
    """Reasons to doubt win rates: which policies are missing, how the judge answered, what it took part in, and whether
    it is known to agree with people.
    """
    conduct, judge = evaluation.judge.conduct, named(work.setup.measured_by)
    answered = () if conduct is None else judge_warnings(conduct, judge)
    said = (f"{task}: {warning.sentence}." for warning in answered)
    return (*missing(policies, task), *said, *doubts_of_judge(work, task), *_against_people(work, task, judge))


def missing(policies: Trained, task: Task) -> tuple[str, ...]:
    """The policies that could not be trained."""
    return tuple(
        f"{task}: {way} is not run, because {named(judge)} gave no label that it could learn from."
        for way, judge in policies.unlabelled.items()
    )


def doubts_of_judge(work: Work, task: Task) -> tuple[str, ...]:
    """What the measuring judge took part in besides measuring."""
    setup, judge = work.setup, named(work.setup.measured_by)
    if setup.measured_by == setup.labeller:
        return (f"{task}: {judge} also gave the labels of RLAIF, so nothing independent measured these policies.",)
    if setup.measured_by == setup.policy:
        return (f"{task}: {judge} is the model from which the policies started.",)
    return ()


def agreement_with_people(work: Work, task: Task) -> str:
    """How far the measuring judge agrees with people, in a sentence; empty where no people compared."""
    if work.setup.data.file(task, "preferences") is None:
        return ""
    audited = work.audit(task)[measuring_judge(work.setup, task)]
    found, judge = audited.alignment, named(work.setup.measured_by)
    if found is None:
        return f"{task}: {judge} gave no answer that can be compared with people's."
    about = "" if found.interval is None else f" ({found.low:.0%} to {found.high:.0%})"
    return f"{task}: {judge}, the judge, agrees with people on {found.value:.0%}{about} of {found.n} pairs."


def not_known(work: Work, task: Task) -> str:
    """That nothing says whether the measuring judge agrees with people."""
    judge = named(work.setup.measured_by)
    return f"{task}: there are no labels of people here, so it is not known whether {judge} agrees with people."


def _against_people(work: Work, task: Task, judge: str) -> Sequence[str]:
    if work.setup.data.file(task, "preferences") is None:
        return (not_known(work, task),)
    found = work.audit(task)[measuring_judge(work.setup, task)].alignment
    if found is None or found.low is None or found.low <= 0.5:
        return (
            f"{task}: {judge} is too weak a judge, as far as can be seen: it is not shown to agree with people more "
            "often than chance. No win rate of this task says which policy people would prefer.",
        )
    return ()


def _answered(prompts: Sequence[Prompt], by_policy: Mapping[str, Sequence[Answer]]) -> list[Prompt]:
    """The prompts that every policy answered."""
    sets = [{answer.prompt.id for answer in of_policy} for of_policy in by_policy.values()]
    return [prompt for prompt in prompts if all(prompt.id in answered for answered in sets)]


def _written(path: Path, prompts: Sequence[Prompt]) -> Path:
    write_rows(path, [prompt_row(prompt) for prompt in prompts])
    return path
