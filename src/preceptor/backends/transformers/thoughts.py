"""Thought and answer in the tokens that a policy sampled.

The thought is open when sampling begins. It ends at its first end: the template's token, or the tag spelled out. What
follows is the answer, whatever tags it repeats. A thought without an end has no answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.backends.transformers.chat import encode_frame
from preceptor.backends.transformers.sampling import IsLast, SampledResponse
from preceptor.backends.transformers.thinking import ThinkingTemplate, end_tokens, thinking_template

PLAIN = ThinkingTemplate("<think>\n", "\n</think>\n\n", "", ())
"""The tags of models whose chat template has no place for a thought; to these models they are ordinary text."""


def policy_template(tokenizer: Any) -> ThinkingTemplate:
    """How a policy thinks: by the tags of its chat template, or by the plain ones."""
    return thinking_template(tokenizer) or PLAIN


@dataclass(frozen=True)
class Parts:
    """A response in its parts."""

    thought: str
    answer: str | None
    """None if the thought did not end."""
    thought_tokens: int
    """Tokens of the thought, its end included."""


class ThoughtReader:
    """Finds thoughts in sampled tokens, by the tags of a template."""

    def __init__(self, tokenizer: Any, template: ThinkingTemplate) -> None:
        self._tokenizer = tokenizer
        self._end = template.end
        ids = end_tokens(tokenizer, template)
        self._end_id = ids[0] if ids else None
        self._rest = encode_frame(tokenizer, template.closing.partition(template.end)[2])
        self._window = len(template.end.encode()) + 1  # a token has a byte or more

    def ends(self, ids: Sequence[int]) -> bool:
        """Whether the last token ends the thought, or spells the end of its tag."""
        return ids[-1] == self._end_id or self._end in self._text(ids[-self._window :])

    def length(self, ids: Sequence[int]) -> int | None:
        """The number of tokens of the thought, its end included; None if it does not end."""
        if self._end_id not in ids and self._end not in self._text(ids):
            return None
        return next((count for count in range(1, len(ids) + 1) if self.ends(ids[:count])), None)

    def parts(self, sampled: SampledResponse) -> Parts:
        """Thought and answer, without the space around them, the template's words between them, and control tokens."""
        ids, length = sampled.content_ids, self.length(sampled.content_ids)
        if length is None:
            return Parts(self._text(ids).strip(), None, len(sampled.token_ids))
        thought, answer = ids[: length - 1], ids[length:]
        if ids[length - 1] == self._end_id:
            said = self._text(thought)
            rest = answer[len(self._rest) :] if list(answer[: len(self._rest)]) == self._rest else answer
            text = self._text(rest)
        else:  # the last token of the tag may have more behind it
            said, _, text = self._text(ids).partition(self._end)
        return Parts(said.strip(), text.lstrip(), length)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


@dataclass(frozen=True)
class Budget:
    """How many tokens a response may have."""

    reader: ThoughtReader
    thought: int
    """Of the thought, its end included."""
    answer: int
    """Of the answer, the end-of-sequence token included."""

    @property
    def whole(self) -> int:
        """Most tokens of a response."""
        return self.thought + self.answer

    def limits(self) -> IsLast:
        """Says when the rows of one batch have used up their tokens: a thought that did not end, or an answer."""
        ended: dict[int, int] = {}

        def is_last(row: int, ids: Sequence[int]) -> bool:
            if row not in ended and self.reader.ends(ids):
                ended[row] = len(ids)
            return len(ids) >= (ended[row] + self.answer if row in ended else self.thought)

        return is_last

    def cut(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Tokens that were sampled without these limits, up to where the limits would have stopped them."""
        length = self.reader.length(ids[: self.thought])
        return tuple(ids[: self.thought if length is None else length + self.answer])
