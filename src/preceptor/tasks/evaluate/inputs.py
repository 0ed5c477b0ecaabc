"""Turns policies and prompts given in Python into the names of files and models that an evaluation works on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject, Prompt, Response
from preceptor.runs.result import RunResult
from preceptor.store.own_folder import working_in
from preceptor.store.responses import ResponseRow
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.tasks.evaluate.policies import EvaluatedPolicy
from preceptor.tasks.evaluate.prompts import HELD_OUT, read_evaluation_prompts

PolicySource: TypeAlias = "str | Path | RunResult | Rows | Iterable[Response]"
"""A model string, a run (its result or its folder), a file of responses, `references`, `answered`; or the responses
themselves: texts (one for each prompt, in order), `Response`s (by prompt id), or rows with a prompt and a response."""
PromptSource: TypeAlias = "str | Path | Sequence[Path] | Iterable[Prompt] | Rows"
"""A file (`COHORT=FILE` puts all of its prompts into a cohort), several files as a list of paths, or the prompts
themselves: texts, `Prompt`s, or rows with a column `prompt`."""
_FOLDER = "inputs"


def prompt_names(prompts: "PromptSource | None", out: Path) -> tuple[str, ...]:
    """The prompts in the form that `read_evaluation_prompts` takes; prompts in memory are written to a file in `out`.

    Raises: UsageError for rows that are not prompts.
    """
    if prompts is None:
        return ()
    if isinstance(prompts, str | Path):
        return (str(prompts),)
    listed: Any = list(prompts) if isinstance(prompts, Sequence) else prompts
    if isinstance(listed, list) and listed and all(isinstance(item, Path) for item in listed):
        return tuple(str(path) for path in listed)
    if isinstance(listed, list) and listed and all(isinstance(item, Prompt) for item in listed):
        listed = [_prompt_row(prompt) for prompt in listed]
    return (str(_written(listed, out, "prompts.jsonl", "prompt", "the prompts given")),)


def evaluated_policies(
    sources: Mapping[str, PolicySource], prompts: Sequence[str], out: Path, limit: int | None
) -> list[EvaluatedPolicy]:
    """The policies under their names; responses in memory are written to files in `out`.

    Raises: UsageError for responses that do not fit the prompts.
    """
    return [
        EvaluatedPolicy(name=name, source=_source(name, source, prompts, out, limit))
        for name, source in sources.items()
    ]


def _source(name: str, source: PolicySource, prompts: Sequence[str], out: Path, limit: int | None) -> str:
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, RunResult):
        return str(source.path)
    rows: Any = list(source) if isinstance(source, Sequence) else source
    if isinstance(rows, list) and rows and all(isinstance(item, str | Response) for item in rows):
        if not prompts or HELD_OUT in prompts:
            raise UsageError(f"{name}: responses without their prompts; give the prompts they belong to as prompts=")
        rows = list(_with_prompts(name, rows, read_evaluation_prompts((), prompts, limit)))
    file = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    return str(_written(rows, out, f"{file}.jsonl", None, f'the responses given as "{name}"'))


def _with_prompts(name: str, responses: Sequence[str | Response], prompts: Sequence[Prompt]) -> Iterator[JsonObject]:
    """Rows of a file of responses."""
    by_id = {prompt.id: prompt for prompt in prompts}
    if isinstance(responses[0], str) and len(responses) != len(prompts):
        raise UsageError(f"{name}: {len(responses)} texts for {len(prompts)} prompts; expected one for each, in order")
    for prompt, response in zip(prompts, responses, strict=False) if isinstance(responses[0], str) else ():
        yield ResponseRow.of(name, prompt, Response(prompt_id=prompt.id, text=str(response))).wire()
    for response in responses:
        if isinstance(response, Response):
            if response.prompt_id not in by_id:
                raise UsageError(f'{name}: a response to "{response.prompt_id}", which is not the id of a prompt')
            yield ResponseRow.of(name, by_id[response.prompt_id], response).wire()


def _prompt_row(prompt: Prompt) -> JsonObject:
    return {
        "id": prompt.id,
        "prompt": [message.wire() for message in prompt.conversation],
        "cohort": prompt.cohort,
        **({"reference": prompt.reference} if prompt.reference is not None else {}),
        **({"metadata": prompt.metadata} if prompt.metadata else {}),
        **({"rubric": prompt.rubric.model_dump(mode="json")} if prompt.rubric else {}),
    }


def _written(rows: Any, out: Path, name: str, text_column: str | None, given: str) -> Path:
    """The path of a file with the rows, in a folder that belongs to this evaluation."""
    with working_in(out, "evaluation"):
        (out / _FOLDER).mkdir(exist_ok=True)
        return rows_as_file(rows, out / _FOLDER, name=name, text_column=text_column, given=given)
