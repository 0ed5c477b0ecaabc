"""Texts that begin alike, laid out so that every shared beginning is computed once.

Texts become trees of segments: a segment holds the tokens that some texts share between two branch points. All
segments form one row. A token attends to the segments that lead to its own and to its own segment up to itself, and
its position counts from the beginning of its text, so the result is the same as if each text had its own row.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

LONGEST_SEGMENT = 128
"""Longer segments are divided, which keeps the attention scores of one segment in the processor's cache."""


@dataclass(frozen=True)
class Segment:
    """Tokens start..end of the row, and the ranges that they attend to besides their own."""

    start: int
    end: int
    before: tuple[tuple[int, int], ...]
    """Ranges of the row that lead to it, in the order of the text, without the cached prefix."""


@dataclass
class Forest:
    """Texts laid out in one row.

    Args:
        prefix: number of first tokens, the same in every text, that are already cached and not part of the row.
    """

    prefix: int = 0
    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)
    """For each text, the positions in the row of its tokens after the prefix."""

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], prefix: int = 0) -> "Forest":
        """Lays out texts. Tokens that a text shares with the previous one are not repeated, so texts that begin alike
        should be adjacent.

        Raises: ValueError when a text has no token beyond the prefix.
        """
        forest = cls(prefix)
        for text in texts:
            forest.add(text)
        return forest

    def add(self, text: Sequence[int]) -> None:
        """Adds one text."""
        if len(text) <= self.prefix:
            raise ValueError(f"a text of {len(text)} tokens has none beyond the prefix of {self.prefix}")
        places = self._shared_with_last(text)
        before = self._ranges(places)
        rest = text[self.prefix + len(places) :]
        for cut in range(0, len(rest), LONGEST_SEGMENT):
            piece = rest[cut : cut + LONGEST_SEGMENT]
            start, position = len(self.tokens), self.prefix + len(places)
            self.segments.append(Segment(start, start + len(piece), before))
            self.tokens += piece
            self.positions += range(position, position + len(piece))
            places = [*places, *range(start, start + len(piece))]
            before = self._ranges(places)
        self.places.append(places)

    def mask(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The forest as an additive mask, for any attention: 1 × 1 × T × (prefix + T), 0 where a token may attend and
        the lowest number where it may not.
        """
        size = len(self.tokens)
        allowed_TT = torch.zeros(size, size, dtype=torch.bool)
        for segment in self.segments:
            rows = slice(segment.start, segment.end)
            for start, end in segment.before:
                allowed_TT[rows, start:end] = True
            own = segment.end - segment.start
            allowed_TT[rows, rows] = torch.ones(own, own, dtype=torch.bool).tril()
        allowed_TS = torch.cat([torch.ones(size, self.prefix, dtype=torch.bool), allowed_TT], dim=1).to(device)
        return torch.zeros(allowed_TS.shape, dtype=dtype, device=device).masked_fill(
            ~allowed_TS, torch.finfo(dtype).min
        )[None, None]

    def _shared_with_last(self, text: Sequence[int]) -> list[int]:
        """The positions of the tokens that a text shares with the one before it."""
        if not self.places:
            return []
        last = self.places[-1]
        return last[: common_length([self.tokens[place] for place in last], text[self.prefix :])]

    @staticmethod
    def _ranges(places: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Ascending positions, as ranges."""
        ranges: list[tuple[int, int]] = []
        for place in places:
            if ranges and ranges[-1][1] == place:
                ranges[-1] = (ranges[-1][0], place + 1)
            else:
                ranges.append((place, place + 1))
        return tuple(ranges)


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """The length of the common beginning of two texts, in tokens."""
    limit = min(len(first), len(second))
    return next((i for i in range(limit) if first[i] != second[i]), limit)


def in_parts(sizes: Sequence[int], at_once: int, workers: int = 1) -> list[range]:
    """Divides items of given sizes, in order, into parts of at most `at_once`; a larger item is a part of its own.

    Args:
        workers: the number of workers that share the parts; each gets about as many parts, of about the same size.
    """
    parts = _in_parts(sizes, at_once)
    if workers == 1 or len(sizes) == 1:
        return parts
    count = workers * math.ceil(len(parts) / workers)
    enough = bisect_left(range(at_once), True, key=lambda limit: len(_in_parts(sizes, limit)) <= count)
    return _in_parts(sizes, enough)


def _in_parts(sizes: Sequence[int], at_once: int) -> list[range]:
    parts: list[range] = []
    start = tokens = 0
    for index, size in enumerate(sizes):
        if index > start and tokens + size > at_once:
            parts.append(range(start, index))
            start, tokens = index, 0
        tokens += size
    return [*parts, range(start, len(sizes))] if sizes else []
