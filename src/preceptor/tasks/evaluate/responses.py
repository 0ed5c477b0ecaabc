"""The responses of each evaluated policy: sampled now, read from a file, or taken from the prompts."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.resolve import open_model
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.numbers import percent
from preceptor.core.progress import Progress
from preceptor.core.types import JudgeFailure, Prompt, Response
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.specs import check_prices
from preceptor.store.batches import BatchFolder
from preceptor.store.files import content_of, write_rows, writing
from preceptor.store.ledger import Ledger
from preceptor.store.responses import ResponseRow, read_responses
from preceptor.tasks.candidates import Answering, candidate_rater, sample_responses
from preceptor.tasks.evaluate.policies import ANSWERED, REFERENCES, EvaluatedPolicy


@dataclass(frozen=True)
class PolicyResponses:
    """The responses of one policy."""

    identity: str
    """Model and weights, or the file with its hash."""
    by_prompt: dict[str, list[Response | JudgeFailure]]
    """The responses to each prompt, by prompt id."""
    calls: int = 0
    """Calls of a model in this process."""

    def check(self, name: str, max_failure_rate: float) -> None:
        """Raises: PreceptorError if more than this share of the policy's responses failed."""
        responses = [response for of_prompt in self.by_prompt.values() for response in of_prompt]
        failures = [response for response in responses if isinstance(response, JudgeFailure)]
        if len(failures) > max_failure_rate * len(responses):
            first = failures[0]
            raise PreceptorError(
                f"{name} gave no response to {len(failures)} of {len(responses)} requests, more than the "
                f"allowed {percent(max_failure_rate)}: {first.reason} ({first.detail}). Fix the cause and start the "
                "same work again, or allow a higher failure rate"
            )


def collect_responses(
    policy: EvaluatedPolicy,
    prompts: Sequence[Prompt],
    answering: Answering,
    ledger: Ledger,
    connection: Connection | None,
    progress: Progress,
    *,
    as_sampled: bool = False,
) -> PolicyResponses:
    """A policy's responses to the prompts: read, or sampled now with every call in the ledger.

    Args:
        as_sampled: leave white space at the ends of sampled texts, which otherwise is stripped.

    Raises: UsageError when a file has no response to some of the prompts; PreceptorError when a model cannot be asked.
    """
    if policy.source in (REFERENCES, ANSWERED):
        return _from_prompts(policy, prompts)
    if policy.model is None:
        return _from_file(policy, prompts)
    model = open_model(policy.model, connection, batches=BatchFolder.beside(ledger))
    check_prices(ledger.budget, [model])
    recorded = RecordedModel(model, ledger, candidate_rater(model.identity))
    by_prompt: dict[str, list[Response | JudgeFailure]] = {}
    at_once = 4 * model.concurrency
    for start in range(0, len(prompts), at_once):
        chunk = prompts[start : start + at_once]
        sampled = sample_responses(recorded, chunk, answering, as_sampled=as_sampled)
        for prompt, responses in zip(chunk, sampled, strict=True):
            by_prompt[prompt.id] = responses
        progress.advance(len(by_prompt), len(prompts))
    identity, calls = model.identity, recorded.asked
    del model, recorded
    gc.collect()  # the next model needs the memory
    return PolicyResponses(identity, by_prompt, calls)


def _from_prompts(policy: EvaluatedPolicy, prompts: Sequence[Prompt]) -> PolicyResponses:
    """The reference answers, or the answers given in production, which `preceptor cohort` keeps in the metadata."""

    def text(prompt: Prompt) -> Any:
        return prompt.reference if policy.source == REFERENCES else prompt.metadata.get("answered")

    known = {p.id: Response(prompt_id=p.id, text=text(p)) for p in prompts if isinstance(text(p), str)}
    if not known:
        kind = "a reference answer" if policy.source == REFERENCES else "an answer in its metadata"
        raise UsageError(f"{policy.name}: no prompt has {kind}")
    return PolicyResponses(f"{policy.source} of the prompts", {name: [response] for name, response in known.items()})


def _from_file(policy: EvaluatedPolicy, prompts: Sequence[Prompt]) -> PolicyResponses:
    """The responses in a file, matched by the prompts' content, since ids may differ between files."""
    path = Path(policy.source)
    by_content = {_content(prompt): responses for prompt, responses in read_responses(path)}
    by_prompt: dict[str, list[Response | JudgeFailure]] = {}
    for prompt in prompts:
        if responses := by_content.get(_content(prompt)):
            by_prompt[prompt.id] = [response.model_copy(update={"prompt_id": prompt.id}) for response in responses]
    if missing := [prompt for prompt in prompts if prompt.id not in by_prompt]:
        raise UsageError(
            f"{path}: has no response to {len(missing)} of the {len(prompts)} prompts to evaluate on, for example "
            f'"{missing[0].text[:60]}"; policies are compared on all prompts'
        )
    return PolicyResponses(f"{path.name}#{content_of(path)}", by_prompt)


def _content(prompt: Prompt) -> str:
    return content_hash([message.wire() for message in prompt.conversation])


def all_responses(
    responses: Mapping[str, PolicyResponses], prompts: Sequence[Prompt]
) -> Iterator[tuple[str, Prompt, Response]]:
    """Every response of every policy, as policy name, prompt and response. Failures are left out."""
    for name, of_policy in responses.items():
        for prompt in prompts:
            for response in of_policy.by_prompt.get(prompt.id, []):
                if isinstance(response, Response):
                    yield name, prompt, response


def write_responses(folder: Path, responses: Mapping[str, PolicyResponses], prompts: Sequence[Prompt]) -> None:
    """Writes one file per policy, with one response per line, in the form that `preceptor evaluate` reads."""
    with writing(folder):
        folder.mkdir(exist_ok=True)
    for number, (name, of_policy) in enumerate(responses.items()):
        file = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
        rows = [ResponseRow.of(*listed).wire() for listed in all_responses({name: of_policy}, prompts)]
        write_rows(folder / f"{number}-{file}.jsonl", rows)
