"""How far people agree in a queue: with each other, with judges, with themselves and with known answers.

Every share is over opinions on pairs of responses; its interval is over prompts. A measure that nothing is known about
is None.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from preceptor.core.hashing import content_hash
from preceptor.core.types import Frozen, HumanLabel
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.agreement import correctness, human_agreement, share_by_prompt
from preceptor.evaluation.judges.raters import Rankings, RaterAgreement, preference_agreement, ranking_agreement
from preceptor.studio.people.judged import Verdicts
from preceptor.studio.people.opinions import Item, Opinion, Opinions, Pair, Rating, opinions_of
from preceptor.studio.people.ratings import Choice, Ranking

_DISPUTED = 20
"""Disputed rows that are listed."""
_STEPS = 12
"""Points at which the agreement so far is measured."""
_By = dict[tuple[int, Pair], dict[int, Opinion]]
"""Opinions by item and pair, and by rater."""


class RaterQuality(Frozen):
    """What one rater did in a queue."""

    rater: int
    name: str
    rated: int
    """Rows, without repeated and control rows."""
    cannot_tell: int
    skipped: int
    flagged: int
    seconds: float | None
    """Median seconds for a rating."""
    last: str
    """When they last rated, in UTC."""
    with_others: Estimate | None
    """How often they agree with the most frequent opinion of the others; left out where the others have none."""
    with_judges: tuple[Estimate | None, ...]
    """How often each judge prefers what they prefer, in the order of `QueueQuality.judges`."""
    repeated: Estimate | None
    """How often they say the same when they see a row a second time, with its responses in the other order."""
    known: Estimate | None
    """How often they give the known answer."""


class JudgeQuality(Frozen):
    """How a judge agrees with people."""

    judge: str
    work: str
    """Name of the folder with its labels."""
    aligned: Estimate | None
    """How often it prefers what most people prefer; left out where people have no majority for one response."""


class DisputedRow(Frozen):
    """A row about which people disagree."""

    item: int
    id: str
    text: str
    """The end of the prompt."""
    opinions: dict[Opinion, int]
    """How many people said what; empty for rankings."""
    agreement: float
    """Share of pairs of people who agree."""


class Unanswered(Frozen):
    """Rows that people were asked about and nobody has an opinion on."""

    cannot_tell: int
    """Somebody could not tell."""
    skipped: int
    """Only skipped."""
    open: int
    """On somebody's screen, or left there."""


class QueueQuality(Frozen):
    """How far people agree in a queue."""

    people: RaterAgreement
    so_far: tuple[tuple[int, Estimate], ...]
    """Agreement of two people after so many rows had two opinions."""
    raters: tuple[RaterQuality, ...]
    judges: tuple[JudgeQuality, ...]
    disputed: tuple[DisputedRow, ...]
    """The most disputed rows first."""
    disputed_rows: int
    """All rows about which people disagree."""
    unanswered: Unanswered


def measure(said: Opinions, judges: Sequence[Verdicts]) -> QueueQuality:
    """Measures the agreement in a queue."""
    prompts = {item.id: _prompt_id(item) for item in said.items.values()}
    by_pair = _by_pair(said)
    disputed = sorted(_disputed(said), key=lambda row: row.agreement)
    raters = dict.fromkeys((rating.rater, rating.name) for rating in said.ratings)
    return QueueQuality(
        people=_people(said, prompts),
        so_far=_so_far(said, prompts),
        raters=tuple(_rater(said, rater, name, by_pair, judges, prompts) for rater, name in raters),
        judges=tuple(_judge(verdicts, by_pair, prompts) for verdicts in judges),
        disputed=tuple(disputed[:_DISPUTED]),
        disputed_rows=len(disputed),
        unanswered=_unanswered(said),
    )


def _prompt_id(item: Item) -> str:
    return content_hash(item.row.get("prompt"))


def _by_pair(said: Opinions) -> _By:
    found: _By = {}
    for item, ratings in said.of_rows():
        for rating in ratings:
            for pair, opinion in opinions_of(rating.answer).items():
                found.setdefault((item.id, pair), {})[rating.rater] = opinion
    return found


def _labels(ratings: Iterable[Rating]) -> list[HumanLabel]:
    """The label of each pair of a row's responses, from everybody's opinions."""
    by_pair: dict[Pair, list[Opinion]] = {}
    for rating in ratings:
        for pair, opinion in opinions_of(rating.answer).items():
            by_pair.setdefault(pair, []).append(opinion)
    return [HumanLabel.of(opinions) for opinions in by_pair.values()]


def _people(said: Opinions, prompts: Mapping[int, str]) -> RaterAgreement:
    if said.queue.kind == "compare":
        return preference_agreement((prompts[item.id], label) for item, r in said.of_rows() for label in _labels(r))
    rankings = (
        (item, [r.answer.ranks for r in ratings if isinstance(r.answer, Ranking)]) for item, ratings in said.of_rows()
    )
    return ranking_agreement(Rankings(str(item.row["id"]), ranks) for item, ranks in rankings)


def _so_far(said: Opinions, prompts: Mapping[int, str]) -> tuple[tuple[int, Estimate], ...]:
    """Agreement after each of a few numbers of rows, in the order in which they got their second opinion."""
    rows: list[tuple[str, str, float]] = []
    for item, ratings in said.of_rows():
        share = human_agreement(_labels(ratings))
        if share is not None:
            times = sorted(rating.at for rating in ratings if opinions_of(rating.answer))
            rows.append((times[1], prompts[item.id], share))
    rows.sort()
    steps = sorted({round(len(rows) * step / _STEPS) for step in range(1, _STEPS + 1)} - {0})
    estimates = [(n, share_by_prompt([(prompt, share) for _, prompt, share in rows[:n]])) for n in steps]
    return tuple((n, estimate) for n, estimate in estimates if estimate is not None)


def _rater(
    said: Opinions, rater: int, name: str, by_pair: _By, judges: Sequence[Verdicts], prompts: Mapping[int, str]
) -> RaterQuality:
    own = [rating for rating in said.ratings if rating.rater == rater]
    rows = [rating for rating in own if not rating.repeat and said.items[rating.item].known is None]
    seconds = [rating.seconds for rating in own if rating.seconds is not None]
    return RaterQuality(
        rater=rater,
        name=name,
        rated=len(rows),
        cannot_tell=sum(rating.answer == Choice(choice="cannot_tell") for rating in rows),
        skipped=sum(rating.answer == Choice(choice="skip") for rating in rows),
        flagged=sum(rating.flagged for rating in own),
        seconds=median(seconds) if seconds else None,
        last=max(rating.at for rating in own),
        with_others=_with_others(rater, by_pair, prompts),
        with_judges=tuple(_with_judge(rater, by_pair, verdicts, prompts) for verdicts in judges),
        repeated=_repeated(own, prompts),
        known=_known(said, own, prompts),
    )


def _with_others(rater: int, by_pair: _By, prompts: Mapping[int, str]) -> Estimate | None:
    values: list[tuple[str, float]] = []
    for (item, _), opinions in by_pair.items():
        if rater in opinions:
            most = _most_frequent([opinion for other, opinion in opinions.items() if other != rater])
            if most is not None:
                values.append((prompts[item], float(opinions[rater] == most)))
    return share_by_prompt(values)


def _most_frequent(opinions: Sequence[Opinion]) -> Opinion | None:
    """The opinion of most people; None if several are equally frequent."""
    counted = Counter(opinions).most_common(2)
    if not counted or (len(counted) > 1 and counted[0][1] == counted[1][1]):
        return None
    return counted[0][0]


def _with_judge(rater: int, by_pair: _By, verdicts: Verdicts, prompts: Mapping[int, str]) -> Estimate | None:
    values: list[tuple[str, float]] = []
    for key, p_a in verdicts.p_a.items():
        opinion = by_pair.get(key, {}).get(rater)
        if opinion is not None and opinion != "tie":
            values.append((prompts[key[0]], correctness(p_a, opinion)))
    return share_by_prompt(values)


def _judge(verdicts: Verdicts, by_pair: _By, prompts: Mapping[int, str]) -> JudgeQuality:
    values: list[tuple[str, float]] = []
    for key, p_a in verdicts.p_a.items():
        opinions = by_pair.get(key, {}).values()
        majority = HumanLabel.of(opinions).majority if opinions else "tie"
        if majority != "tie":
            values.append((prompts[key[0]], correctness(p_a, majority)))
    return JudgeQuality(judge=verdicts.judge, work=verdicts.work, aligned=share_by_prompt(values))


def _repeated(own: Sequence[Rating], prompts: Mapping[int, str]) -> Estimate | None:
    before = {rating.item: opinions_of(rating.answer) for rating in own if not rating.repeat}
    values: list[tuple[str, float]] = []
    for rating in own:
        if rating.repeat:
            first, again = before.get(rating.item, {}), opinions_of(rating.answer)
            values += [
                (prompts[rating.item], float(first[pair] == again[pair])) for pair in first.keys() & again.keys()
            ]
    return share_by_prompt(values)


def _known(said: Opinions, own: Sequence[Rating], prompts: Mapping[int, str]) -> Estimate | None:
    values: list[tuple[str, float]] = []
    for rating in own:
        known = said.items[rating.item].known
        if known is not None:
            right, given = opinions_of(known), opinions_of(rating.answer)
            values += [
                (prompts[rating.item], float(right[pair] == given[pair])) for pair in right.keys() & given.keys()
            ]
    return share_by_prompt(values)


def _disputed(said: Opinions) -> Iterable[DisputedRow]:
    for item, ratings in said.of_rows():
        labels = _labels(ratings)
        share = human_agreement(labels)
        if share is not None and share < 1.0:
            ranked = said.queue.kind == "rank"
            yield DisputedRow(
                item=item.id,
                id=str(item.row["id"]),
                text=prompt_text(item),
                opinions={} if ranked else dict(Counter(labels[0].ratings).most_common()),
                agreement=share,
            )


def prompt_text(item: Item) -> str:
    """The text of a row's prompt: its last message, if it is a conversation."""
    prompt = item.row.get("prompt")
    if isinstance(prompt, list):
        last = prompt[-1] if prompt else None
        return str(last.get("content", "")) if isinstance(last, dict) else ""
    return str(prompt)


def _unanswered(said: Opinions) -> Unanswered:
    without = [
        (item, [rating.answer for rating in ratings])
        for item, ratings in said.of_rows()
        if item.asked and not any(opinions_of(rating.answer) for rating in ratings)
    ]
    undecided = sum(Choice(choice="cannot_tell") in answers for _, answers in without)
    nothing = sum(not answers for _, answers in without)
    return Unanswered(cannot_tell=undecided, skipped=len(without) - undecided - nothing, open=nothing)
