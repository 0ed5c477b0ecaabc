"""Constitutions: what a judge is told to prefer, in TOML files, validated at load and hashed into every label."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from preceptor.core.errors import UsageError, nearest
from preceptor.core.hashing import content_hash
from preceptor.core.types import Frozen, NonEmpty

_PACKAGED = files("preceptor.judging.constitutions")
PLACEHOLDER = re.compile(r"\{(prompt|response)\}")


class Choice(Frozen):
    """An answer the judge may give, and its place on the scale."""

    answer: NonEmpty
    value: float


class Exemplar(Frozen):
    """An example with the answer a good judge gives."""

    prompt: str = ""
    response: NonEmpty
    answer: NonEmpty


class Constitution(Frozen):
    """What a score judge is shown. The prompt is the preamble, each exemplar as an item with its answer, and the item
    to be judged; the judge's next words are read as one of the choices.
    """

    name: NonEmpty
    version: NonEmpty
    summary: NonEmpty
    """One sentence for people."""
    principles: Annotated[tuple[NonEmpty, ...], Field(min_length=1)]
    """What is to be preferred, each principle a sentence. Shown to the judge where the preamble says {principles}."""
    preamble: str = ""
    item: NonEmpty
    """How a response is shown; holds {response}, and {prompt} where the judge should see it. Ends where the answer
    begins."""
    choices: Annotated[tuple[Choice, ...], Field(min_length=2)]
    exemplars: tuple[Exemplar, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> "Constitution":
        answers = [choice.answer for choice in self.choices]
        if len(set(answers)) != len(answers):
            raise ValueError(f"choices repeat an answer: {answers}")
        if len({choice.value for choice in self.choices}) < 2:
            raise ValueError("all choices have the same value")
        if "{response}" not in self.item:
            raise ValueError("item must hold {response}")
        for number, exemplar in enumerate(self.exemplars, start=1):
            if exemplar.answer not in answers:
                raise ValueError(f'exemplar {number} answers "{exemplar.answer}"; expected one of {answers}')
        return self

    @property
    def hash(self) -> str:
        """Content hash: two constitutions that differ in any way differ here."""
        return content_hash(self.model_dump(mode="json"))[:16]

    @property
    def values(self) -> dict[str, float]:
        """Choice to its place on the scale."""
        return {choice.answer: choice.value for choice in self.choices}


def load_constitution(name: str) -> Constitution:
    """Loads a constitution by the name of a shipped one, or by the path of a `.toml` file.

    Raises: UsageError when there is none of that name, or the file is not a valid constitution.
    """
    if name.endswith(".toml"):
        path, place = Path(name), name
    else:
        known = [f.name.removesuffix(".toml") for f in _PACKAGED.iterdir() if f.name.endswith(".toml")]
        if name not in known:
            raise UsageError(f'there is no constitution "{name}"; {nearest(name, known)}, or give the path of a .toml')
        path, place = Path(str(_PACKAGED.joinpath(f"{name}.toml"))), name
    try:
        return Constitution.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{place}: the constitution cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{place}: not a TOML file: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "constitution"
        raise UsageError(f"{place}: {where}: {first['msg']}") from error
