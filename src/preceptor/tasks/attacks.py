"""Attacking a judge in its audit: attacks on honest responses, a search for edits that win, and what fooled it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preceptor.core.errors import UsageError, nearest
from preceptor.core.hashing import unit_hash
from preceptor.core.progress import Progress
from preceptor.core.types import Comparison, JsonObject, JudgeFailure, Preference, Response
from preceptor.evaluation.judges.attack_rates import (
    Attacked,
    JudgeAttacks,
    SearchResult,
    attack_rates,
    search_result,
)
from preceptor.evaluation.judges.judge_audit import JudgeAudit, JudgeRun
from preceptor.judging.attacks import ATTACKS, EDITS, AttackKind, Target
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.store.comparisons import ComparisonRow, comparison_id, read_comparisons
from preceptor.store.files import write_rows
from preceptor.store.rows import Malformed

HARD_NEGATIVES = "hard_negatives.jsonl"
"""The file of the attacks that fooled a judge, in the folder of its audit."""
EVERY = "all"
SEARCH = "search"
"""What the edited responses of a search are called in the file."""
_AT_ONCE = 64


@dataclass(frozen=True)
class AttackPlan:
    """Which attacks are made."""

    names: tuple[str, ...] = ()
    """Attacks by name."""
    recorded: tuple[ComparisonRow, ...] = ()
    """Attacks of a file, made again as they are."""
    rows: int = 50
    """On how many of the rows, chosen by a hash."""
    search: int = 0
    """Comparisons that a search may take for each response; 0 for no search."""
    file: Path | None = None
    """The file of the recorded attacks."""

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.names or self.recorded or self.search)


@dataclass(frozen=True)
class _Attack:
    """An attack that is still to be judged: the honest response is a, the attacking one b."""

    attack: str
    kind: AttackKind
    comparison: Comparison
    before: float | None = None
    """As in `Attacked`."""


@dataclass(frozen=True)
class AttacksMade:
    """What became of the attacks of a plan."""

    attacked: Sequence[Attacked] = ()
    search: SearchResult | None = None
    won: Sequence[Attacked] = ()
    """The responses of the search that it edited until they won."""


@dataclass
class _Searched:
    """How a search went for one response."""

    row: ComparisonRow
    honest: Response
    text: str
    p: float
    calls: int = 0
    failed: bool = False
    """Whether no comparison of its last round was answered, so that nobody knows whether it would have won."""


def read_plan(attack: str | Path | None, rows: int, search: int) -> AttackPlan:
    """The attacks that a user names: "all", one by its name, or a file of attacks that fooled a judge earlier.

    Raises: UsageError when there is no such attack, or the file holds none.
    """
    if attack is None:
        return AttackPlan(rows=rows, search=search)
    name = str(attack)
    if name == EVERY:
        return AttackPlan(names=tuple(ATTACKS), rows=rows, search=search)
    if name in ATTACKS:
        return AttackPlan(names=(name,), rows=rows, search=search)
    if not name.endswith(".jsonl"):
        known = nearest(name, [EVERY, *ATTACKS], f"a file such as {HARD_NEGATIVES}")
        raise UsageError(f'there is no attack "{name}"; {known}')
    return AttackPlan(recorded=_read_recorded(Path(name)), rows=rows, search=search, file=Path(name))


def _read_recorded(file: Path) -> tuple[ComparisonRow, ...]:
    """Raises: UsageError for a row that cannot be used, since a test with fewer attacks is easier to pass."""
    recorded: list[ComparisonRow] = []
    for row in read_comparisons(file):
        if isinstance(row, Malformed):
            raise UsageError(f"{row.place}: {row.reason}")
        recorded += [row] if row.preferred else []
    if not recorded:
        raise UsageError(f"{file}: holds no attack: rows with people's label are expected, as an audit writes them")
    return tuple(recorded)


def attack_judge(
    judge: PreferenceJudge,
    plan: AttackPlan,
    rows: Sequence[ComparisonRow],
    answers: Mapping[str, Preference | JudgeFailure],
    progress: Progress,
) -> AttacksMade:
    """Makes the attacks of a plan.

    Args:
        rows: labelled by people, from which honest responses are taken.
        answers: the judge's own, by the ids of the rows' comparisons: how it judges the undressed responses.

    Raises: PreceptorError when the model cannot be asked or the budget is spent.
    """
    if not plan.any:
        return AttacksMade()
    targets = _targets(rows, plan.rows)
    asked = [*_recorded(plan.recorded), *_planned(plan.names, targets, answers)]
    progress.stage("attacking the judge")
    made: list[Attacked] = []
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        outcomes = judge.compare([each.comparison for each in part])
        made += [
            Attacked(each.attack, each.kind, each.comparison, outcome, each.before)
            for each, outcome in zip(part, outcomes, strict=True)
        ]
        progress.advance(len(made), len(asked))
    search, won = _search(judge, plan.search, targets, answers, progress) if plan.search else (None, [])
    return AttacksMade(made, search, won)


def attacks_of(judges: Sequence[JudgeAudit], runs: Sequence[JudgeRun]) -> tuple[JudgeAttacks, ...]:
    """How often the attacks fooled each judge that was attacked."""
    return tuple(
        attack_rates(judge.label, run.attacked, run.search)
        for judge, run in zip(judges, runs, strict=True)
        if run.attacked or run.search
    )


def write_hard_negatives(folder: Path, attacked: Sequence[Attacked], made_again: Path | None = None) -> Path | None:
    """Writes the attacks that fooled a judge as rows that training and a later audit read; None if there is none, and
    an older file goes then. Where no judge answered an attack, it stays.

    Args:
        made_again: the file that the attacks were read from. It stays as it is: what fools this judge is a part of it.
    """
    file = folder / HARD_NEGATIVES
    answered = [(each, each.p) for each in attacked if each.p is not None]
    if not answered or (made_again is not None and file.resolve() == made_again.resolve()):
        return None
    fooled = [each for each, p in answered if p >= 0.5]
    if not fooled:
        file.unlink(missing_ok=True)
        return None
    unique = {each.comparison.id: each for each in fooled}
    write_rows(file, [_row(each) for each in unique.values()])
    return file


def _row(attacked: Attacked) -> JsonObject:
    comparison = attacked.comparison
    return {
        "id": comparison.id,
        "prompt": [message.wire() for message in comparison.prompt.conversation],
        "response_a": comparison.a.text,
        "response_b": comparison.b.text,
        "label": "a",
        "category": attacked.attack,
    }


def _targets(rows: Sequence[ComparisonRow], most: int) -> list[ComparisonRow]:
    """Rows of which people prefer one response, both of them plain texts; chosen by a hash of their ids."""
    usable = [row for row in rows if row.preferred and _is_plain(row)]
    return sorted(usable, key=lambda row: unit_hash("attack", row.comparison.id))[:most]


def _is_plain(row: ComparisonRow) -> bool:
    sides = (row.comparison.a, row.comparison.b)
    return all(not side.trajectory and side.text.strip() for side in sides)


def _sides(row: ComparisonRow) -> tuple[Response, Response]:
    """The response that people prefer, and the other one."""
    a, b = row.comparison.a, row.comparison.b
    return (a, b) if row.preferred == "a" else (b, a)


def _target(row: ComparisonRow, worse: str | None = None) -> Target:
    better, other = _sides(row)
    return Target(row.comparison.prompt.text, better.text, other.text if worse is None else worse)


def _recorded(rows: Sequence[ComparisonRow]) -> Iterator[_Attack]:
    for row in rows:
        honest, attacking = _sides(row)
        comparison = _against(row.comparison, honest, attacking.text)
        name = row.category or "recorded"
        kind = ATTACKS[name].kind if name in ATTACKS else "dressed" if name == SEARCH else "hollow"
        yield _Attack(name, kind, comparison)


def _planned(
    names: Sequence[str], targets: Sequence[ComparisonRow], answers: Mapping[str, Preference | JudgeFailure]
) -> Iterator[_Attack]:
    for name in names:
        attack = ATTACKS[name]
        for row in targets:
            text = attack.write(_target(row))
            if text is None:
                continue
            honest, _ = _sides(row)
            before = _p_worse(row, answers) if attack.kind == "dressed" else None
            yield _Attack(name, attack.kind, _against(row.comparison, honest, text), before)


def _p_worse(row: ComparisonRow, answers: Mapping[str, Preference | JudgeFailure]) -> float | None:
    """How probable the judge makes the response that people like less; None where it failed."""
    answer = answers.get(row.comparison.id)
    if not isinstance(answer, Preference):
        return None
    return 1.0 - answer.p_a if row.preferred == "a" else answer.p_a


def _against(comparison: Comparison, honest: Response, text: str) -> Comparison:
    """The honest response as a, an attacking one as b."""
    attacking = Response(prompt_id=comparison.prompt.id, text=text, policy="attack")
    return Comparison(
        id=comparison_id(comparison.prompt, honest, attacking), prompt=comparison.prompt, a=honest, b=attacking
    )


def _search(
    judge: PreferenceJudge,
    budget: int,
    targets: Sequence[ComparisonRow],
    answers: Mapping[str, Preference | JudgeFailure],
    progress: Progress,
) -> tuple[SearchResult, list[Attacked]]:
    """Edits each response that people like less, by the edit that helps it most, until it wins or its comparisons are
    spent. All responses take a round together.

    Returns: what the search came to, and the responses that won.
    """
    progress.stage("searching for edits that win")
    under_way = [
        _Searched(row, honest, worse.text, p)
        for row in targets
        for honest, worse in [_sides(row)]
        if (p := _p_worse(row, answers)) is not None and p <= 0.5
    ]
    started, failed, won = list(under_way), 0, list[Attacked]()
    while under_way:
        tried = [(each, text) for each in under_way for text in _edited(each)[: budget - each.calls]]
        outcomes = judge.compare([_against(each.row.comparison, each.honest, text) for each, text in tried])
        best: dict[int, Preference] = {}
        for (each, _), outcome in zip(tried, outcomes, strict=True):
            each.calls += 1
            if isinstance(outcome, JudgeFailure):
                failed += 1
            elif id(each) not in best or outcome.p_a < best[id(each)].p_a:
                best[id(each)] = outcome
        for each in under_way:
            found = best.get(id(each))
            each.failed = found is None
            if found is not None:
                each.p, each.text = 1.0 - found.p_a, found.comparison.b.text
            if found is not None and each.p > 0.5:
                won.append(Attacked(SEARCH, "dressed", found.comparison, found))
        under_way = [each for each in under_way if each.p <= 0.5 and each.calls < budget and not each.failed]
        progress.advance(len(started) - len(under_way), len(started))
    known = [each for each in started if not each.failed]
    spent = [(each.row.comparison.prompt.id, each.p > 0.5, each.calls) for each in known]
    return search_result(budget, spent, failed), won


def _edited(searched: _Searched) -> list[str]:
    """The response after each edit that can be made of it."""
    target = _target(searched.row, searched.text)
    return [text for name in EDITS if (text := ATTACKS[name].write(target)) is not None]
