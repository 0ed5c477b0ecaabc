"""The policies of an evaluation, as a person names them, and their responses to the prompts."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import open_model
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.numbers import percent
from preceptor.core.progress import Progress
from preceptor.core.types import Frozen, JudgeFailure, NonEmpty, Prompt, Response
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.specs import check_prices
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import content_of
from preceptor.store.ledger import Ledger
from preceptor.store.reading import resolved
from preceptor.store.responses import read_responses
from preceptor.tasks.candidates import Answering, candidate_rater, sample_responses

REFERENCES, ANSWERED = "references", "answered"
"""Sources that mean the prompts' own reference answers, and what they were answered in production."""
_FILES = (".jsonl", ".parquet")


class Contestant(Frozen):
    """A policy of an evaluation."""

    name: NonEmpty
    """For tables and figures."""
    source: NonEmpty
    """A model string, a run directory, a file of responses, `references` or `answered`."""

    @property
    def is_file(self) -> bool:
        """Whether its responses are given."""
        return self.source.endswith(_FILES)

    @property
    def model(self) -> str | None:
        """The model to sample from; of a run directory its chosen checkpoint. None where nothing is sampled."""
        if self.is_file or self.source in (REFERENCES, ANSWERED):
            return None
        run = as_run(self.source)
        if run is None:
            return self.source
        return str(run.merged if run.merged.exists() else run.best)


def as_run(source: str) -> RunDirectory | None:
    """The run that a source is the directory of, if it is one."""
    return RunDirectory.open(Path(source)) if (Path(source) / "recipe.toml").is_file() else None


def run_around(source: str) -> RunDirectory | None:
    """The run that a source is, or is a part of, as a checkpoint is."""
    path = Path(source)
    folders = (path, *path.parents[:3]) if path.exists() else ()
    return next((run for folder in folders if (run := as_run(str(folder))) is not None), None)


def parse_contestants(texts: Sequence[str]) -> tuple[Contestant, ...]:
    """Policies from `NAME=SOURCE` or `SOURCE`, the baseline first. One run directory alone means its untrained policy
    and its result.

    Raises: UsageError for fewer than two, for two of one name, and for a source that is none.
    """
    found = [_parse(text) for text in texts]
    run = as_run(found[0].source) if len(found) == 1 else None
    if run is not None:
        found = [Contestant(name="base", source=run.recipe.policy), found[0].model_copy(update={"name": "tuned"})]
    if len(found) < 2:
        raise UsageError("name two policies or more, the baseline first; or the directory of one run")
    if len({each.name for each in found}) < len(found):
        raise UsageError("two policies have the same name; give each its own by NAME=SOURCE")
    for each in found:
        _check(each)
    return tuple(found)


def _parse(text: str) -> Contestant:
    name, equals, source = text.partition("=")
    if text and (not equals or Path(text).exists()):
        model = text.removeprefix("openai:").partition("@")[0] if text.startswith("openai:") else text
        return Contestant(name=resolved(Path(model)).name.removesuffix(".jsonl"), source=text)
    if not name or not source:
        raise UsageError(f'"{text}": expected NAME=SOURCE, or a source alone')
    return Contestant(name=name, source=source)


def _check(contestant: Contestant) -> None:
    if contestant.is_file and not Path(contestant.source).exists():
        raise UsageError(f"{contestant.source}: there is no such file of responses")
    if contestant.model is None:
        return
    run = as_run(contestant.source)
    if run is not None and not Path(contestant.model).exists():
        raise UsageError(
            f"{contestant.source}: this run is not finished, it has no chosen checkpoint yet; go on with it by "
            f"`preceptor run --resume {contestant.source}`"
        )
    check_name(contestant.model)


@dataclass(frozen=True)
class Answers:
    """What one policy answered."""

    identity: str
    responses: dict[str, list[Response | JudgeFailure]]
    """By prompt's id."""
    asked: int = 0
    """Calls of a model in this process."""

    def check(self, name: str, most: float) -> None:
        """Raises: PreceptorError when the policy failed to give more than a share of its responses."""
        given = [each for responses in self.responses.values() for each in responses]
        failures = [each for each in given if isinstance(each, JudgeFailure)]
        if len(failures) > most * len(given):
            first = failures[0]
            raise PreceptorError(
                f"{name} gave no response to {len(failures)} of {len(given)} requests, more than the {percent(most)} "
                f"allowed: {first.reason} ({first.detail}). Mend the cause and give the same command again, or allow "
                "more with --max-failure-rate"
            )


def answers_of(
    contestant: Contestant,
    prompts: Sequence[Prompt],
    answering: Answering,
    ledger: Ledger,
    connection: Connection | None,
    progress: Progress,
) -> Answers:
    """A policy's responses to the prompts: given, or sampled now with every call in the ledger.

    Raises: UsageError when given ones are not for these prompts; PreceptorError when a model cannot be asked.
    """
    if contestant.source in (REFERENCES, ANSWERED):
        return _of_the_prompts(contestant, prompts)
    if contestant.model is None:
        return _given(contestant, prompts)
    model = open_model(contestant.model, connection)
    check_prices(ledger.budget, [model])
    recorded = RecordedModel(model, ledger, candidate_rater(model.identity))
    found: dict[str, list[Response | JudgeFailure]] = {}
    at_once = 4 * model.concurrency
    for start in range(0, len(prompts), at_once):
        chunk = prompts[start : start + at_once]
        for prompt, responses in zip(chunk, sample_responses(recorded, chunk, answering), strict=True):
            found[prompt.id] = responses
        progress.advance(len(found), len(prompts))
    identity, asked = model.identity, recorded.asked
    del model, recorded
    gc.collect()  # the next model needs the memory
    return Answers(identity, found, asked)


def _of_the_prompts(contestant: Contestant, prompts: Sequence[Prompt]) -> Answers:
    """What the prompts bring with them: their reference answers, or what `preceptor cohort` kept of the answers."""

    def text(prompt: Prompt) -> Any:
        return prompt.reference if contestant.source == REFERENCES else prompt.metadata.get("answered")

    known = {p.id: Response(prompt_id=p.id, text=text(p)) for p in prompts if isinstance(text(p), str)}
    if not known:
        kind = "a reference answer" if contestant.source == REFERENCES else "an answer in its metadata"
        raise UsageError(f"{contestant.name}: no prompt has {kind}")
    return Answers(f"{contestant.source} of the prompts", {name: [response] for name, response in known.items()})


def _given(contestant: Contestant, prompts: Sequence[Prompt]) -> Answers:
    """The responses of a file, found by what their prompts ask: ids of two files may mean different things."""
    path = Path(contestant.source)
    rows = read_responses(path)
    by_content = {_content(prompt): responses for prompt, responses in rows}
    found: dict[str, list[Response | JudgeFailure]] = {}
    for prompt in prompts:
        if responses := by_content.get(_content(prompt)):
            found[prompt.id] = [each.model_copy(update={"prompt_id": prompt.id}) for each in responses]
    if missing := [prompt for prompt in prompts if prompt.id not in found]:
        raise UsageError(
            f"{path}: has no response to {len(missing)} of the {len(prompts)} prompts to evaluate on, "
            f'"{missing[0].text[:60]}" for one; policies are compared on all of them'
        )
    return Answers(f"{path.name}#{content_of(path)}", found)


def _content(prompt: Prompt) -> str:
    return content_hash([message.wire() for message in prompt.conversation])
