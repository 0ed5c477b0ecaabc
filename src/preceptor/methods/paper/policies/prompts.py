"""The prompts and demonstrations of a task, divided once for all tables: for the runs, for SFT, and for comparing."""

from collections.abc import Sequence
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.core.hashing import unit_hash
from preceptor.core.types import Prompt
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.table import Work
from preceptor.runs.inputs import LEAST
from preceptor.store.demonstrations import Demonstration, read_demonstrations
from preceptor.store.files import write_rows
from preceptor.store.prompts import read_prompts, split_held_out
from preceptor.store.training_pairs import read_training_pairs

RUNS, TEST, LEARNT, REFERENCES = "prompts.jsonl", "test.jsonl", "demonstrations.jsonl", "references.jsonl"
"""Files of a task's folder: prompts of its runs, prompts on which policies are compared, what SFT learns, and answers
on which runs measure general ability.
"""


def task_folder(work: Work, task: Task) -> Path:
    """The folder of a task's policies, which all tables share."""
    return work.root.absolute() / "policies" / task


def divided(work: Work, task: Task) -> Path:
    """The folder with the task's prompts and demonstrations, divided now unless an earlier process did it.

    Test prompts are drawn first, among those that people's comparisons do not have; nothing else uses them.

    Raises: UsageError when there are too few.
    """
    folder = task_folder(work, task) / "data"
    if (folder / RUNS).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    scale, file = work.setup.scale.policies, work.setup.data.file(task, "prompts")
    assert file is not None  # the table checked
    prompts = _in_random_order(read_prompts(str(file)), work.setup.seed, scale.longest_prompt)
    seen = _compared(work, task)
    unseen = [prompt for prompt in prompts if prompt.text not in seen]
    test = unseen[: min(scale.test_prompts, len(prompts) // 3)]
    apart = {prompt.text for prompt in test}
    runs = _of_runs(work, [prompt for prompt in prompts if prompt.text not in apart], file)
    if len(test) < LEAST:
        raise UsageError(f"{file}: {len(test)} prompts are left to compare policies on; expected {LEAST} or more")
    write_rows(folder / TEST, [prompt_row(prompt) for prompt in test])
    _write_demonstrations(work, task, apart, folder / LEARNT)
    references = read_prompts("package:reference_answers")[: scale.references]
    write_rows(folder / REFERENCES, [prompt_row(prompt) for prompt in references])
    write_rows(folder / RUNS, [prompt_row(prompt) for prompt in runs])
    return folder


def _in_random_order(prompts: Sequence[Prompt], seed: int, longest: int) -> list[Prompt]:
    """The prompts that are short enough, each text once."""
    once = {prompt.text: prompt for prompt in prompts if len(prompt.text) <= longest}
    return sorted(once.values(), key=lambda prompt: unit_hash("paper prompts", seed, prompt.text))


def _of_runs(work: Work, prompts: Sequence[Prompt], file: Path) -> list[Prompt]:
    """The prompts of every run, of which the run itself holds some out."""
    scale = work.setup.scale.policies
    training, held_out = split_held_out(prompts, scale.evaluation.heldout_share)
    training, held_out = training[: scale.training_prompts], held_out[: scale.held_out_prompts]
    if len(training) < scale.rl.prompts_per_step or len(held_out) < 2 * LEAST:
        raise UsageError(
            f"{file}: {len(training)} prompts for training and {len(held_out)} that each run holds out; expected "
            f"{scale.rl.prompts_per_step} and {2 * LEAST} or more, of at most {scale.longest_prompt} characters"
        )
    return [*training, *held_out]


def _compared(work: Work, task: Task) -> set[str]:
    """The texts of the prompts whose responses people compared, for training."""
    if work.setup.data.file(task, "preferences") is None:
        return set()
    pairs, _ = read_training_pairs(work.people(task) / "training.jsonl", labels="human")
    return {pair.prompt.text for pair in pairs}


def _write_demonstrations(work: Work, task: Task, test: set[str], path: Path) -> None:
    """Writes the demonstrations of prompts that test nothing; no file if there are none."""
    file, scale = work.setup.data.file(task, "demonstrations"), work.setup.scale.policies
    if file is None:
        return
    read, _ = read_demonstrations(file)
    most = work.setup.scale.longest or 10**9
    usable = [
        d
        for d in read
        if d.prompt.text not in test and len(d.prompt.text) <= scale.longest_prompt and len(d.answer) <= most
    ]
    if not usable:
        raise UsageError(
            f"{file}: none of the {len(read)} demonstrations can be learnt; expected some with prompts of at most "
            f"{scale.longest_prompt} characters, on which policies are not compared, and answers of at most {most:,}"
        )
    ordered = sorted(usable, key=lambda d: unit_hash("paper demonstrations", work.setup.seed, d.prompt.text, d.answer))
    write_rows(path, [_learnt(demonstration) for demonstration in ordered[: scale.demonstrations]])


def prompt_row(prompt: Prompt) -> dict[str, object]:
    """A prompt as a line of a file of prompts."""
    return {
        "id": prompt.id,
        "prompt": [message.wire() for message in prompt.conversation],
        "cohort": prompt.cohort,
        **({"metadata": {"together": prompt.together}} if prompt.together else {}),
        **({"reference": prompt.reference} if prompt.reference else {}),
    }


def _learnt(demonstration: Demonstration) -> dict[str, object]:
    said = demonstration.trajectory
    answer = [message.wire() for message in said] if said else demonstration.answer
    return {"prompt": [message.wire() for message in demonstration.prompt.conversation], "answer": answer}
