"""What may leave this machine: texts are checked for secrets and personal data, by the rules of `store.masking`.

Texts are those of rows (`.jsonl`, `.parquet`), of JSON and of pages. A tokenizer's vocabulary, weights and databases
are not texts.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.store.files import write_rows
from preceptor.store.masking import Mask
from preceptor.store.preferences import write_parquet
from preceptor.store.rows import Malformed, read_raw_rows

SECRETS = frozenset({"KEY", "CREDENTIALS", "SECRET"})
"""Kinds that are not sent as they are."""
_ROWS = (".jsonl", ".parquet")
_TEXTS = (".json", ".md", ".html", ".toml", ".txt", ".jinja")
_VOCABULARIES = {"tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json"}
_BETWEEN_TAGS = re.compile(r"(?<=>)[^<]+")
_HASHES = re.compile(r"prompt_id|.*hash")
"""Names of fields whose digits are nobody's."""


@dataclass
class Findings:
    """What the rules found in the texts."""

    kinds: Counter[str] = field(default_factory=Counter[str])
    """How often, by kind."""
    first: str = ""
    """Where the first stands."""

    def add(self, counts: Counter[str], place: str) -> None:
        """Adds what was found at a place."""
        if counts:
            self.kinds += counts
            self.first = self.first or place


def is_text(name: str) -> bool:
    """Whether a file's texts can be checked."""
    return name.endswith((*_ROWS, *_TEXTS)) and Path(name).name not in _VOCABULARIES


def checked(
    files: Mapping[str, Path], scratch: Path, *, mask: bool, edited: Mapping[str, Callable[[str], str]]
) -> tuple[dict[str, Path], Findings]:
    """The files as they may be sent: those that are changed for it are copies in `scratch`.

    In pages and JSON, the path of the user's home folder becomes `~`.

    Args:
        files: the file for each name under which it is sent.
        mask: replace everything that the rules find; otherwise a secret is an error, and other finds are counted.
        edited: further changes to the text of files, by name.

    Raises: UsageError naming the row or line of a secret; PreceptorError when a file cannot be read or written.
    """
    findings, ready = Findings(), dict[str, Path]()
    for name, path in files.items():
        if not is_text(name):
            ready[name] = path
            continue
        copy = scratch / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(_ROWS):
            ready[name] = _rows(path, copy, findings, mask)
        else:
            ready[name] = _text(path, copy, findings, mask, edited.get(name, str))
    return ready, findings


def _rows(path: Path, copy: Path, findings: Findings, mask: bool) -> Path:
    """The file of rows to send: `path`, or `copy` if something in it was masked."""
    found = Counter[str]()
    for place, row in read_raw_rows(path):
        if isinstance(row, Malformed):
            raise PreceptorError(f"{place}: {row.reason}; a damaged file is not published")
        masked = Mask()
        _masked(row, masked)
        _note(masked, findings, place, mask)
        found += masked.counts
    if not (mask and found):
        return path
    lines = copy.with_suffix(".jsonl")
    write_rows(lines, [_masked(row, Mask()) for _, row in read_raw_rows(path.with_suffix(".jsonl"))])
    if copy.suffix == ".parquet":
        write_parquet(lines, copy)
    return copy


def _text(path: Path, copy: Path, findings: Findings, mask: bool, edit: Callable[[str], str]) -> Path:
    try:
        original = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PreceptorError(f"{path}: cannot be read: {error}") from error
    masked = Mask()
    text = _masked_text(path.suffix, original, masked)
    _note(masked, findings, str(path), mask)
    sent = _without_home(edit(text if mask else original))
    if sent == original:
        return path
    copy.write_text(sent, encoding="utf-8")
    return copy


def _masked_text(suffix: str, text: str, mask: Mask) -> str:
    if suffix == ".html":
        return _BETWEEN_TAGS.sub(lambda found: mask.text(found[0]), text)
    if suffix == ".json":
        value = _masked(json.loads(text), mask)
        return json.dumps(value, indent=1, ensure_ascii=False) + "\n" if mask.counts else text
    return mask.text(text)


def _masked(value: Any, mask: Mask) -> Any:
    """JSON with its texts masked."""
    if isinstance(value, str):
        return mask.text(value)
    if isinstance(value, list):
        return [_masked(each, mask) for each in value]
    if isinstance(value, dict):
        return {key: each if _HASHES.fullmatch(key) else _masked(each, mask) for key, each in value.items()}
    return value


def _note(masked: Mask, findings: Findings, place: str, mask: bool) -> None:
    """Raises: UsageError for a secret that is not masked."""
    if not mask and (secret := sorted(SECRETS & masked.counts.keys())):
        raise UsageError(
            f"{place}: holds what looks like a secret ({', '.join(secret)}), so nothing is sent; take it out, or "
            "publish with mask=True (`preceptor publish FOLDER ORG/NAME --mask`), which replaces it in what is sent"
        )
    findings.add(masked.counts, place)


def _without_home(text: str) -> str:
    home = Path.home()
    return text if home == Path(home.root) else re.sub(rf"{re.escape(str(home))}(?![\w.-])", "~", text)
