"""Reads files of responses that a policy gave elsewhere."""

from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.types import Conversation, Frozen, JsonObject, Message, Prompt, Response
from preceptor.store.columns import WrongRowError
from preceptor.store.comparisons import parse_response
from preceptor.store.in_memory import name_of
from preceptor.store.prompts import parse_prompt
from preceptor.store.rows import Malformed, read_raw_rows
from preceptor.store.rubrics import rubric_columns


class ResponseRow(Frozen):
    """A response with its prompt, as a line of a file of responses."""

    policy: str
    id: str
    cohort: str
    prompt: Conversation
    response: str | tuple[Message, ...]
    """A text, or the messages of a trajectory."""
    finished: bool
    reference: str | None
    thought: str | None = None
    """What the policy thought before it answered; without one, the column is not written."""

    @classmethod
    def of(cls, policy: str, prompt: Prompt, response: Response) -> "ResponseRow":
        """The row of a response to a prompt."""
        return cls(
            policy=policy,
            id=prompt.id,
            cohort=prompt.cohort,
            prompt=prompt.conversation,
            response=response.trajectory or response.text,
            finished=response.finished,
            reference=prompt.reference,
            thought=response.thought,
        )

    def wire(self) -> JsonObject:
        """The row as JSON: without a reference answer where there is none."""
        said = self.response
        return {
            "policy": self.policy,
            "id": self.id,
            "cohort": self.cohort,
            "prompt": [message.wire() for message in self.prompt],
            "response": said if isinstance(said, str) else [message.wire() for message in said],
            "finished": self.finished,
            **({"reference": self.reference} if self.reference else {}),
            **({} if self.thought is None else {"thought": self.thought}),
        }


_ABOUT = ("prompt", "conversation", "id", "cohort", "reference", "metadata", "rubric")


def read_responses(path: Path) -> list[tuple[Prompt, list[Response]]]:
    """The prompts of a dataset, each with its responses.

    A row has a prompt, as in a file of prompts, and a `response` (a text, or the messages of a trajectory) or
    `responses` (a list of them). Rows with the same prompt are joined.

    Raises: UsageError naming file and row where one cannot be used: an evaluation must not silently miss a prompt.
    """
    by_content: dict[str, tuple[Prompt, list[Response]]] = {}
    ids: dict[str, str] = {}
    for place, row in read_raw_rows(path):
        if isinstance(row, Malformed):
            raise UsageError(f"{place}: {row.reason}")
        ours = rubric_columns(row)
        prompt = parse_prompt({key: ours[key] for key in _ABOUT if ours.get(key) is not None}, place)
        try:
            responses = [parse_response(value, "response", prompt, None, thought) for value, thought in _responses(row)]
        except WrongRowError as error:
            raise UsageError(f"{place}: {error}") from error
        asked = content_hash([message.wire() for message in prompt.conversation])
        if ids.setdefault(prompt.id, asked) != asked:
            raise UsageError(f'{place}: another prompt above has the id "{prompt.id}"; ids must be unique')
        by_content.setdefault(asked, (prompt, []))[1].extend(responses)
    if not by_content:
        raise UsageError(f"{name_of(path)}: there are no responses")
    return list(by_content.values())


def _responses(row: JsonObject) -> list[tuple[Any, Any]]:
    """The responses, each with the thought in the row's column."""
    if (row.get("response") is None) == (row.get("responses") is None):
        raise WrongRowError('expected "response" (a text or messages) or "responses" (a list of them)')
    if row.get("response") is not None:
        return [(row["response"], row.get("thought"))]
    if not isinstance(row["responses"], list) or not row["responses"]:
        raise WrongRowError("responses: expected a list of texts or of lists of messages")
    return [(response, None) for response in row["responses"]]


def read_policies(folder: Path) -> dict[str, list[tuple[Prompt, list[Response]]]]:
    """The responses in the folder of an evaluation by policy, the baseline first.

    Raises: UsageError when the folder has none, or they cannot be read.
    """
    try:
        files = sorted((folder / "responses").glob("*.jsonl"), key=lambda file: int(file.name.partition("-")[0]))
    except ValueError as error:
        raise UsageError(f"{folder / 'responses'}: expected the files that an evaluation writes") from error
    policies = {str(_policy(file)): read_responses(file) for file in files}
    if not policies:
        raise UsageError(f"{folder}: has no responses; an evaluation writes them when it ends")
    return policies


def _policy(file: Path) -> Any:
    place, row = next(iter(read_raw_rows(file)), (str(file), Malformed(0, str(file), "there are no responses")))
    if isinstance(row, Malformed):
        raise UsageError(f"{place}: {row.reason}")
    return row.get("policy")
