"""Encodes demonstrations as tokens, with labels for the tokens that are learned."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from preceptor.backends.transformers.rendering import TemplateRefusalError
from preceptor.backends.transformers.trajectories import rewritten, rewritten_note
from preceptor.core.types import JsonObject
from preceptor.store.demonstrations import Demonstration
from preceptor.training.response_format import ResponseFormat, UnfitThoughtError
from preceptor.training.thinking_settings import PolicyThinking

NO_LOSS = -100
"""The label of a token that is not learned."""


def encode_demonstrations(
    tokenizer: Any,
    demonstrations: Sequence[Demonstration],
    max_length: int,
    tools: Sequence[JsonObject] = (),
    thinking: PolicyThinking | None = None,
) -> tuple[list[dict[str, list[int]]], list[str]]:
    """Encodes demonstrations in the policy's own format: the prompt in the chat template, then the answer, whose text
    is never read as control tokens, then the end-of-sequence token if the answer is finished. Of a trajectory, what the
    assistant wrote is learned.

    Args:
        max_length: most tokens of prompt and answer together; a longer demonstration is left out.
        tools: JSON schemas of the tools that prompts show.
        thinking: whether the model learns to think before it answers, from the thoughts of the demonstrations.

    Returns: rows of `input_ids` and `labels`, and messages that say how many demonstrations were left out and why, and
        whether the template shows earlier turns differently.
    Raises: UsageError when the tokenizer has no chat template, or its template drops messages.
    """
    form = ResponseFormat(tokenizer, thinking)
    rows: list[dict[str, list[int]]] = []
    reasons: Counter[str] = Counter()
    for demonstration in demonstrations:
        encoded = _encode(form, demonstration, max_length, tools)
        if isinstance(encoded, str):
            reasons[encoded] += 1
        else:
            rows.append(encoded)
    notes = [f"{n} of {len(demonstrations)} demonstrations left out: {why}" for why, n in reasons.items()]
    changed = rewritten(tokenizer) if any(demonstration.trajectory for demonstration in demonstrations) else ""
    return rows, [*notes, rewritten_note(changed)] if changed else notes


def _encode(
    form: ResponseFormat, demonstration: Demonstration, max_length: int, tools: Sequence[JsonObject]
) -> dict[str, list[int]] | str:
    """The row, or the reason why there is none."""
    asked, response = demonstration.prompt, demonstration.response
    if not response.acts:
        return "the answer is empty"
    try:
        prompt = list(form.encode(asked, tools))
    except TemplateRefusalError:
        return "the model's chat template refuses the prompt"
    try:
        acted = form.encode_response(asked, response, tools)
    except TemplateRefusalError:
        return "the model's chat template refuses the trajectory"
    except UnfitThoughtError as error:
        return str(error)
    if len(prompt) + len(acted.ids) > max_length:
        return f"longer than {max_length} tokens"
    labels = [token if learned else NO_LOSS for token, learned in zip(acted.ids, acted.learned, strict=True)]
    return {"input_ids": prompt + list(acted.ids), "labels": [NO_LOSS] * len(prompt) + labels}
