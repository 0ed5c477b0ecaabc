"""A cohort file: prompts as JSON lines (see `prompts`). The file only grows, and never holds the same prompt twice.

Two prompts are the same if their texts are equal apart from case and white space. They are near-duplicates if both of
their parts are similar: what the user said, and the rest of the conversation (instructions, answers, results of tools).
Parts are similar if the Jaccard index of their sets of three consecutive words is at least 0.9. So one question about
two documents makes two prompts, and two questions under the same long instructions make two prompts.

Candidates come from MinHash signatures in bands (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, section 3.4): two prompts of Jaccard index J in both parts meet in one of 16 bands of 6 rows with a
probability of 1 - (1 - J¹²)¹⁶, 99 % at 0.9, and of 1 - (1 - J⁶)¹⁶ if the second part is the same. The Jaccard index of
each candidate is then computed exactly. A band's bucket holds 32 prompts at most, which bounds the time for thousands
of prompts made from one template; further near-duplicates among them may be kept.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.types import JsonObject, Message, Prompt
from preceptor.store.files import write_text, writing
from preceptor.store.prompts import read_prompts
from preceptor.store.reading import check_file

NEAR = 0.9
"""Jaccard index from which texts are near-duplicates."""
_WORDS = 3
_BANDS, _ROWS = 16, 6
_MOST_IN_BUCKET = 32
_WORD = re.compile(r"[぀-ヿ㐀-鿿가-힯]|[^\s぀-ヿ㐀-鿿가-힯]+")
"""A word: text between white space, or a single character in scripts that are written without spaces."""
_Set = np.ndarray[Any, np.dtype[np.uint64]]


def read_cohort(path: Path) -> list[Prompt]:
    """The prompts of a cohort file; none if the file does not exist yet.

    Raises: UsageError when it is not a file of prompts.
    """
    try:
        if path.exists():
            check_file(path, "the cohort")
        empty = not path.exists() or not path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"{path}: the cohort cannot be read: {error.strerror or error}") from error
    return [] if empty else read_prompts(str(path))


def add_to_cohort(path: Path, rows: Sequence[JsonObject]) -> None:
    """Appends all of the rows or none of them; the rows already in the file stay unchanged to the byte.

    Raises: PreceptorError when the file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_bytes().decode("utf-8") if path.exists() else ""
    gap = "\n" if old and not old.endswith("\n") else ""
    lines = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    if lines:
        write_text(path, old + gap + lines)


class Duplicates:
    """Recognises duplicates and near-duplicates of earlier prompts. Keeps some 100 bytes for every ten words."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._parts: list[tuple[_Set, _Set]] = []
        self._buckets: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
        self._signed: dict[str, tuple[_Set, list[int]]] = {}
        """Shingles and bands of the conversations' other parts, many of which are the same in all prompts."""
        draw = np.random.default_rng(1997)  # any fixed seed: the same prompts are duplicates everywhere
        self._factors = draw.integers(0, 1 << 63, (_BANDS * _ROWS, 1), dtype=np.uint64) * np.uint64(2) + np.uint64(1)

    def add(self, conversation: Sequence[Message]) -> Literal["same", "near"] | None:
        """Adds a prompt if it is new.

        Returns: "same" or "near" if it duplicates an earlier one and was not added, else None.
        """
        key = content_hash([_content(message) for message in conversation])
        if key in self._exact:
            return "same"
        self._exact.add(key)
        said = "\n".join(m.content for m in conversation if m.role == "user")
        rest = "\n".join(f"{m.role} {m.content}" for m in conversation if m.role != "user")
        asked, asked_bands = self._sign(said)
        name = content_hash(rest)
        if name not in self._signed:
            self._signed[name] = self._sign(rest)
        other, other_bands = self._signed[name]
        keys = list(zip(range(_BANDS), asked_bands, other_bands, strict=True))
        for known in {number for key in keys for number in self._buckets.get(key, ())}:
            if _alike(asked, self._parts[known][0]) and _alike(other, self._parts[known][1]):
                return "near"
        for key in keys:
            if len(self._buckets[key]) < _MOST_IN_BUCKET:
                self._buckets[key].append(len(self._parts))
        self._parts.append((asked, other))
        return None

    def _sign(self, text: str) -> tuple[_Set, list[int]]:
        """The shingles of a text, hashed, and for each band a hash of its rows of the MinHash signature."""
        shingles = _shingles(text)
        hashes = shingles * self._factors >> np.uint64(32)  # multiply-shift (Dietzfelbinger et al. 1997)
        signature = hashes.min(axis=1, initial=1 << 32).reshape(_BANDS, _ROWS)
        return shingles, [crc32(band.tobytes()) for band in signature]


def normalized(text: str) -> str:
    """A text with case and white space normalised."""
    return " ".join(text.casefold().split())


def _content(message: Message) -> list[str]:
    """What a message says, without the ids of tool calls, which are new each time."""
    calls = [f"{call.function.name} {call.function.arguments}" for call in message.tool_calls]
    return [message.role, normalized(message.content), *calls]


def _shingles(text: str) -> _Set:
    """The set of a text's runs of three words, as ascending hashes; of a shorter text, of all its words."""
    words = np.array([crc32(word.encode()) for word in _WORD.findall(text.casefold())], dtype=np.uint64)
    runs = max(1, len(words) - _WORDS + 1) if len(words) else 0
    mixed = np.zeros(runs, dtype=np.uint64)
    for offset in range(min(_WORDS, len(words))):
        mixed = mixed * np.uint64(1_000_003) + words[offset : offset + runs]  # modulo 2⁶⁴
    return np.unique(mixed)


def _alike(one: _Set, other: _Set) -> bool:
    smaller, larger = sorted((len(one), len(other)))
    if smaller < NEAR * larger:
        return False
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common >= NEAR * (smaller + larger - common)
