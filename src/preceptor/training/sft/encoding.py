"""Encodes demonstrations as tokens, with labels for the tokens that are learned."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from preceptor.backends.transformers.chat import encode_conversation, encode_text
from preceptor.backends.transformers.rendering import TemplateRefusalError
from preceptor.backends.transformers.trajectories import encode_trajectory, rewritten, rewritten_note
from preceptor.core.types import JsonObject
from preceptor.store.demonstrations import Demonstration

NO_LOSS = -100
"""The label of a token that is not learned."""


def encode_demonstrations(
    tokenizer: Any, demonstrations: Sequence[Demonstration], max_length: int, tools: Sequence[JsonObject] = ()
) -> tuple[list[dict[str, list[int]]], list[str]]:
    """Encodes demonstrations in the policy's own format: the prompt in the chat template, then the answer, whose text
    is never read as control tokens, then the end-of-sequence token if the answer is finished. Of a trajectory, what the
    assistant wrote is learned.

    Args:
        max_length: most tokens of prompt and answer together; a longer demonstration is left out.
        tools: JSON schemas of the tools that prompts show.

    Returns: rows of `input_ids` and `labels`, and messages that say how many demonstrations were left out and why, and
        whether the template shows earlier turns differently.
    Raises: UsageError when the tokenizer has no chat template, or its template drops messages.
    """
    rows: list[dict[str, list[int]]] = []
    reasons: Counter[str] = Counter()
    for demonstration in demonstrations:
        encoded = _encode(tokenizer, demonstration, max_length, tools)
        if isinstance(encoded, str):
            reasons[encoded] += 1
        else:
            rows.append(encoded)
    notes = [f"{n} of {len(demonstrations)} demonstrations left out: {why}" for why, n in reasons.items()]
    changed = rewritten(tokenizer) if any(demonstration.trajectory for demonstration in demonstrations) else ""
    return rows, [*notes, rewritten_note(changed)] if changed else notes


def _encode(
    tokenizer: Any, demonstration: Demonstration, max_length: int, tools: Sequence[JsonObject]
) -> dict[str, list[int]] | str:
    """The row, or the reason why there is none."""
    if not demonstration.response.acts:
        return "the answer is empty"
    conversation = demonstration.prompt.conversation
    try:
        prompt = encode_conversation(tokenizer, conversation, tools=tools)
    except TemplateRefusalError:
        return "the model's chat template refuses the prompt"
    if demonstration.trajectory:
        try:
            acted = encode_trajectory(
                tokenizer, conversation, demonstration.trajectory, tools=tools, finished=demonstration.finished
            )
        except TemplateRefusalError:
            return "the model's chat template refuses the trajectory"
        answer = list(acted.ids)
        labels = [token if learned else NO_LOSS for token, learned in zip(acted.ids, acted.learned, strict=True)]
    else:
        answer = encode_text(tokenizer, demonstration.answer)
        answer += [int(tokenizer.eos_token_id)] if demonstration.finished else []
        labels = answer
    if len(prompt) + len(answer) > max_length:
        return f"longer than {max_length} tokens"
    return {"input_ids": prompt + answer, "labels": [NO_LOSS] * len(prompt) + labels}
