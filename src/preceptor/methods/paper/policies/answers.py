"""Every policy's answers to a task's test prompts, sampled once for all tables, and formatted as in the paper.

The paper found that policies of RL end summaries in superfluous periods and spaces, and removes them before people
compare (appendix E). Here all policies' ends are treated alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.core.types import JudgeFailure, Prompt
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.policies.prompts import TEST, divided, task_folder
from preceptor.methods.paper.table import Work
from preceptor.store.files import read_rows, write_rows
from preceptor.store.ledger import Ledger
from preceptor.store.prompts import read_prompts
from preceptor.tasks.candidates import Answering
from preceptor.tasks.evaluate.policies import EvaluatedPolicy
from preceptor.tasks.evaluate.responses import collect_responses
from preceptor.training.rl.rewards.combined import stripped


@dataclass(frozen=True)
class Answer:
    """A policy's answer to a test prompt."""

    prompt: Prompt
    text: str
    """As it was sampled."""
    finished: bool

    @property
    def formatted(self) -> str:
        """Without periods and spaces at its end; an answer of nothing else is left as it is."""
        return stripped(self.text, "periods_and_spaces").strip() or self.text.strip()

    @property
    def superfluous(self) -> bool:
        """Whether it ends in more than one period, or in a space."""
        end = self.text[len(stripped(self.text, "periods_and_spaces")) :]
        return end not in ("", ".")


def test_prompts(work: Work, task: Task) -> list[Prompt]:
    """The prompts on which a task's policies are compared."""
    return read_prompts(str(divided(work, task) / TEST))


def answers(work: Work, task: Task, policies: Mapping[str, str]) -> dict[str, list[Answer]]:
    """One answer of each policy to each test prompt, in the order of the prompts; those that failed are left out.

    Args:
        policies: model strings or run directories, by name.

    Raises: PreceptorError when a policy answers too little.
    """
    return {name: _of_policy(work, task, name, source) for name, source in policies.items()}


def write_formatted(folder: Path, by_policy: Mapping[str, Sequence[Answer]]) -> dict[str, Path]:
    """Writes the formatted answers as files that `evaluate` reads, by policy."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    for name, of_policy in by_policy.items():
        files[name] = folder / f"{file_name(name)}.jsonl"
        rows = [_row(name, answer) | {"response": answer.formatted} for answer in of_policy]
        write_rows(files[name], rows)
    return files


def file_name(name: str) -> str:
    """A policy's name as the name of a file."""
    return "".join(c if c.isalnum() else "-" for c in name.lower())


def _of_policy(work: Work, task: Task, name: str, source: str) -> list[Answer]:
    prompts, folder = test_prompts(work, task), task_folder(work, task) / "answers"
    path, rl = folder / f"{file_name(name)}.jsonl", work.setup.scale.policies.rl
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        work.progress.stage(f"{task}: answers of {name}")
        answering = Answering(
            samples=1, temperature=rl.temperature, max_new_tokens=rl.max_new_tokens, seed=work.setup.seed
        )
        with Ledger(folder / "ledger.sqlite") as ledger:
            policy = EvaluatedPolicy(name=name, source=source)
            given = collect_responses(
                policy, prompts, answering, ledger, work.setup.connection, work.progress, as_sampled=True
            )
        given.check(name, max_failure_rate=0.1)
        first = {prompt: responses[0] for prompt, responses in given.by_prompt.items()}
        write_rows(
            path,
            [
                _row(name, Answer(prompt, response.text, response.finished))
                for prompt in prompts
                if not isinstance(response := first[prompt.id], JudgeFailure)
            ],
        )
    by_id = {prompt.id: prompt for prompt in prompts}
    rows: list[Any] = read_rows(path)
    return [Answer(by_id[row["id"]], row["response"], row["finished"]) for row in rows]


def _row(name: str, answer: Answer) -> dict[str, object]:
    return {
        "policy": name,
        "id": answer.prompt.id,
        "cohort": answer.prompt.cohort,
        "prompt": [message.wire() for message in answer.prompt.conversation],
        "response": answer.text,
        "finished": answer.finished,
    }
