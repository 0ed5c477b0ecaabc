"""The judges of a service, each under a name by which clients ask it."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from preceptor.backends.base import LanguageModel
from preceptor.core.errors import UsageError
from preceptor.core.types import Comparison, Frozen, JudgeFailure, NonEmpty, Preference, Prompt, Response, Score
from preceptor.core.validation import explain
from preceptor.judging.constitution import Constitution, load_constitution, shipped_constitutions
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.judge import Judge
from preceptor.judging.reward import RewardKind, reward_kind
from preceptor.judging.score import ScoreJudge
from preceptor.judging.scored import check_scoring
from preceptor.judging.specs import JudgeSpec, check_judges, make_judge
from preceptor.store.ledger import Ledger
from preceptor.store.reading import read_settings

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")


class _Named(JudgeSpec):
    """A judge in a file, with the name by which clients ask it."""

    name: NonEmpty | None = None
    """The constitution's name, if none is given."""


class _File(Frozen):
    judges: Annotated[tuple[_Named, ...], Field(min_length=1)]


def judge_in_words(text: str) -> tuple[str, JudgeSpec]:
    """The name and the judge in `[NAME=]MODEL[:CONSTITUTION[:VARIANT]]`.

    The constitution is a shipped one or a .toml file. Without a name, the constitution's is used.

    Raises: UsageError for an unknown model, constitution or variant.

    Examples:
        >>> name, spec = judge_in_words("kind=scripted:random:harmless:detailed+single")
        >>> name, spec.model, spec.constitution, spec.variant
        ('kind', 'scripted:random', 'harmless', 'detailed+single')
    """
    found = re.match(rf"({_NAME.pattern})=", text)
    parts = text[found.end() :].split(":") if found else text.split(":")
    fields: dict[str, str] = {}
    if len(parts) > 2 and _is_constitution(parts[-2]):
        fields["variant"] = parts.pop()
    if len(parts) > 1 and _is_constitution(parts[-1]):
        fields["constitution"] = parts.pop()
    spec = JudgeSpec.model_validate({"model": ":".join(parts), **fields})
    return (found[1] if found else Path(spec.constitution).stem), spec


def _is_constitution(part: str) -> bool:
    return part.endswith(".toml") or part in shipped_constitutions()


def judges_in_file(path: Path) -> list[tuple[str, JudgeSpec]]:
    """The judges of a TOML file of `[[judges]]`, each with a `name`.

    Raises: UsageError naming the file, the key and what was expected.
    """
    try:
        listed = _File.model_validate(read_settings(path, "the judges")).judges
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error, _File)}") from error
    return [
        (judge.name or Path(judge.constitution).stem, JudgeSpec.model_validate(judge.model_dump(exclude={"name"})))
        for judge in listed
    ]


def named_judges(
    judges: "Mapping[str, Judge | JudgeSpec | str] | Sequence[str | Path] | str | Path",
) -> dict[str, JudgeSpec]:
    """The judges of a service by their names, in whatever form a program gives them.

    Raises: UsageError for no judge, two of one name, a name that cannot stand in an address, or an unknown model.
    """
    if isinstance(judges, Mapping):
        pairs = [(name, _spec(judge)) for name, judge in judges.items()]
    else:
        listed = [judges] if isinstance(judges, str | Path) else judges
        pairs = [pair for judge in listed for pair in _pairs(judge)]
    if not pairs:
        raise UsageError('no judge is named; give at least one, such as "helpful=openai:gpt-4o-mini:helpful"')
    named: dict[str, JudgeSpec] = {}
    for name, spec in pairs:
        if not _NAME.fullmatch(name):
            raise UsageError(f'judge "{name}": expected a name of letters, digits, ".", "_" and "-"')
        if name in named:
            raise UsageError(f'two judges are called "{name}"; name each, as in {name}-2={spec.model}')
        named[name] = spec
    check_judges(list(named.values()))
    return named


def _pairs(judge: str | Path) -> list[tuple[str, JudgeSpec]]:
    is_file = str(judge).endswith(".toml") and Path(judge).is_file()
    return judges_in_file(Path(judge)) if is_file else [judge_in_words(str(judge))]


def _spec(judge: Judge | JudgeSpec | str) -> JudgeSpec:
    if isinstance(judge, Judge):
        return judge.spec
    return judge if isinstance(judge, JudgeSpec) else judge_in_words(judge)[1]


class ServedJudge:
    """A judge on an open model, whose methods may be called from several threads."""

    def __init__(self, name: str, spec: JudgeSpec, model: LanguageModel, ledger: Ledger) -> None:
        """Raises: UsageError when the exemplars do not fit, or the calibration belongs to another judge."""
        self.name = name
        self.spec = spec
        self.model = model
        self.constitution: Constitution = load_constitution(spec.constitution)
        if spec.goes_by_rubrics:
            raise UsageError(f"{name}: a service is sent no rubrics; serve a judge with another variant")
        self._ledger = ledger
        self._comparer: PreferenceJudge = make_judge(spec, model, ledger)
        self._making = threading.Lock()
        # One object each, so that waiting items are known to be of one kind.
        self.compare: Callable[[Sequence[Comparison]], list[Preference | JudgeFailure]] = self._comparer.compare
        self.score: Callable[[Sequence[tuple[Prompt, Response]]], list[Score | JudgeFailure]] = self._score

    @property
    def reward_kind(self) -> RewardKind:
        """How a score becomes a reward."""
        return reward_kind(None, self.constitution)

    def check_scores(self) -> None:
        """Raises: UsageError if the judge cannot score a single response."""
        check_scoring(self.constitution, self.spec.resolved())

    @property
    def asked(self) -> int:
        """Calls that were sent to the model."""
        return sum(model.asked for model in self._models)

    @property
    def hits(self) -> int:
        """Calls that were answered from the ledger, or by an equal call at the same time."""
        return sum(model.hits for model in self._models)

    def facts(self) -> dict[str, Any]:
        """What clients are told."""
        return {
            "name": self.name,
            "model": self.spec.model,
            "constitution": f"{self.constitution.name} {self.constitution.version}",
            "constitution_hash": self.constitution.hash,
            "way": self.spec.way,
            "reward": self.reward_kind,
        }

    @cached_property
    def _scorer(self) -> ScoreJudge:
        return ScoreJudge(self.model, self.constitution, self._ledger, self.spec.resolved().scoring)

    def _score(self, items: Sequence[tuple[Prompt, Response]]) -> list[Score | JudgeFailure]:
        with self._making:
            scorer = self._scorer
        return scorer.score(items)

    @property
    def _models(self) -> list[Any]:
        scoring = [self._scorer.model] if "_scorer" in self.__dict__ else []
        return [*(member.model for member in self._comparer.members), *scoring]
