"""Where the rows of a queue are from, and how they were chosen, which every one of them says.

A queue asks for its rows in their order, so people who stop early have rated a beginning of it. Rows of a sample are
therefore in a random order, and a beginning of it is a sample too. Rows that judges dispute stand for no others, so
they keep their order, the most disputed first.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError, nearest
from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.numbers import listed
from preceptor.core.types import JsonObject, Prompt, Response
from preceptor.store.columns import WrongRowError
from preceptor.store.comparisons import ComparisonRow, comparison_id, parse_response, read_comparisons
from preceptor.store.for_people import FILE, as_question, question, text_or_messages
from preceptor.store.in_memory import name_of
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import NO_POLICY, PreferenceRow
from preceptor.store.prompts import parse_prompt
from preceptor.store.responses import read_policies
from preceptor.store.rows import Malformed, Row, read_raw_rows
from preceptor.store.selection import DISPUTED, NOT_SAID, Selection, WrongSelectionError, read_selection
from preceptor.studio.folders import Work
from preceptor.studio.people.interchange import rows_in
from preceptor.studio.people.queues import Kind, NewItem
from preceptor.studio.people.ratings import Choice, Ranking
from preceptor.tasks.evaluate.comparisons import pair_responses
from preceptor.tasks.evaluate.responses import PolicyResponses

MOST_ROWS = 20_000
"""Rows of a queue."""
MOST_RANKED = 9
"""Most responses to one prompt: more than people can order with care."""
_SAMPLED = ("random", "planned", "cohort")


@dataclass(frozen=True)
class Source:
    """The rows of a queue, in the order in which people are asked about them."""

    kind: Kind
    rows: tuple[Row, ...]
    words: str
    """Where they are from and how they were chosen."""
    folder: Path | None = None
    """The folder that they are from; None for an uploaded file."""


def written_for_people(work: Work, seed: int = 0) -> Source:
    """The rows that `label` or `estimate` wrote for people. Rows that a plan chose with equal probabilities keep the
    order of the plan, any beginning of which represents the cohorts; those with unequal ones are shuffled.

    Raises: UsageError when the folder has none.
    """
    rows = [_asked(row) for row in _comparisons(work.path / FILE)]
    chances = {row.get("selection_probability") for row in rows}
    ordered = rows if len(chances) == 1 else _shuffled(rows, seed)
    return _source("compare", ordered, f"for_people.jsonl of {work.name}", work.path)


def sample_of_labels(work: Work, count: int, seed: int, cohort: str | None = None) -> Source:
    """A random sample of the comparisons in a folder of labels, or of one cohort of it.

    If prompts have several comparisons, each row says with which probability it was drawn: a prompt with many of them
    is likelier to be in the sample than one with few.

    Raises: UsageError if there is no such cohort.
    """
    if count < 1:
        raise UsageError(f"expected 1 row or more, got {count}")
    cohorts, prompts = Counter[str](), set[str]()
    kept: list[tuple[float, int, str, Row]] = []
    for number, (place, row) in enumerate(_raw(Outcomes(work.path).preferences)):
        own = _cohort(row)
        cohorts[own] += 1
        if cohort in (None, own):
            prompts.add(str(row.get("prompt_id")))
            entry = (-unit_hash("sample for people", seed, str(row.get("id")), number), number, place, row)
            if len(kept) < min(count, MOST_ROWS + 1):
                heapq.heappush(kept, entry)
            else:
                heapq.heappushpop(kept, entry)
    if cohort is not None and cohort not in cohorts:
        raise UsageError(f'{work.name}: there is no cohort "{cohort}"; {nearest(cohort, cohorts)}')
    total = cohorts[cohort] if cohort is not None else cohorts.total()
    drawn = [PreferenceRow.read(row, place) for *_, place, row in sorted(kept, key=lambda entry: -entry[0])]
    how = _drawn(len(drawn), total, cohort is not None, single=len(prompts) == total)
    rows = [question(row, DISPUTED if row.chosen_by == DISPUTED else how) for row in drawn]
    where = f'{total:,} of cohort "{cohort}" in {work.name}' if cohort is not None else f"{total:,} in {work.name}"
    return _source("compare", rows, f"a random sample of the {where}", work.path)


def cohorts_of_labels(work: Work) -> dict[str, int]:
    """The cohorts in a folder of labels, with how many comparisons each has."""
    return dict(sorted(Counter(_cohort(row) for _, row in _raw(Outcomes(work.path).preferences)).items()))


def policies_in(work: Work) -> list[str]:
    """Names of the policies of an evaluation, the baseline first."""
    return list(read_policies(work.path))


def two_policies(work: Work, one: str, other: str, count: int, seed: int) -> Source:
    """Two policies' responses to a random sample of an evaluation's prompts. Ids are those of the evaluation, so
    people's answers can be compared with its judges'. If the evaluation has further policies, the rows do not say that
    they are a random sample: they are none of all its comparisons.

    Raises: UsageError for a policy that the evaluation does not have, or the same twice.
    """
    found = _of_policies(work, (one, other))
    prompts = {prompt.id: prompt for responses in found.values() for prompt, _ in responses}
    by_policy = {
        name: PolicyResponses(name, {prompt.id: list(answers) for prompt, answers in responses})
        for name, responses in found.items()
    }
    pairs = pair_responses(list(prompts.values()), by_policy, against_first=True)
    single = len({row.comparison.prompt.id for row in pairs}) == len(pairs)
    how = _drawn(min(count, len(pairs)), len(pairs), False, single=single) if len(policies_in(work)) == 2 else NOT_SAID
    drawn = _in_random_order([as_question(row.comparison, row.category, how) for row in pairs], seed)[:count]
    return _source(
        "compare",
        drawn,
        f"a random sample of the {len(pairs):,} comparisons of {one} and {other} in {work.name}",
        work.path,
    )


def several_policies(work: Work, names: Sequence[str], count: int, seed: int) -> Source:
    """Several policies' responses to a random sample of an evaluation's prompts, to be ranked; the first response of
    each.

    Raises: UsageError for a policy that the evaluation does not have.
    """
    found = _of_policies(work, names)
    by_prompt: dict[str, tuple[Prompt, list[Response]]] = {}
    for name, responses in found.items():
        for prompt, answers in responses:
            first = answers[0].model_copy(update={"policy": name})
            by_prompt.setdefault(prompt.id, (prompt, []))[1].append(first)
    whole = [(prompt, answers) for prompt, answers in by_prompt.values() if len(answers) == len(found)]
    rows = [_ranked(prompt, answers, Selection("random"), None) for prompt, answers in whole]
    words = f"a random sample of the {len(rows):,} prompts of {work.name}, answered by {listed(list(found))}"
    return _source("rank", _in_random_order(rows, seed)[:count], words, work.path)


def uploaded_comparisons(file: Path, name: str, seed: int) -> Source:
    """The comparisons of a file, in any format that `label` reads. They say how they were chosen as far as the file
    does; people's labels in it are not shown.

    Raises: UsageError naming the first row that cannot be used.
    """
    return _source("compare", _shuffled([_asked(row) for row in _comparisons(file)], seed), f"the file {name}", None)


def uploaded_rankings(files: Sequence[Path], name: str, seed: int) -> Source:
    """Several responses to each prompt, from rows with `responses`, or with one `response` each for the same prompt.

    Raises: UsageError naming the first row that cannot be used, or a prompt with one response.
    """
    groups: dict[str, tuple[Prompt, list[Response], Selection, str | None]] = {}
    for file in files:
        for place, prompt, responses, selection, row_id in _several(file):
            key = content_hash([message.wire() for message in prompt.conversation])
            if key in groups and row_id is not None and groups[key][3] not in (None, row_id):
                key = f"{key} {row_id}"
            held = groups.setdefault(key, (prompt, [], selection, row_id))
            held[1].extend(responses)
            if len(held[1]) > MOST_RANKED:
                raise UsageError(f"{place}: more than {MOST_RANKED} responses to one prompt; people cannot order them")
    rows = [_ranked(*group) for group in groups.values() if len(group[1]) > 1]
    if not rows:
        raise UsageError(f"{name}: no prompt has two responses to be ranked")
    return _source("rank", _shuffled(rows, seed), f"the file {name}", None)


def uploaded_project(text: str, name: str, kind: Kind, seed: int) -> Source:
    """The rows of a file that Argilla or Label Studio exported.

    Raises: UsageError naming the first record that cannot be used.
    """
    return _source(kind, _shuffled(rows_in(text, kind), seed), f"the file {name}", None)


def known_answers(file: Path, kind: Kind) -> list[NewItem]:
    """Control rows: comparisons with `label` or `ratings`, or rows with `responses` and `rankings`.

    Raises: UsageError naming the first row without an answer.
    """
    if kind == "rank":
        return [_known_ranking(place, row) for place, row in _raw(file)]
    items: list[NewItem] = []
    for row in _comparisons(file):
        if row.human is None:
            raise UsageError(f'{row.place}: expected "label" (a, b or tie), the known answer')
        items.append(NewItem(_asked(row), Choice(choice=row.human.majority).model_dump(mode="json")))
    return items


def known_answer(prompt: str, response_a: str, response_b: str, answer: str) -> NewItem:
    """A control row that the owner typed.

    Raises: UsageError if a text is empty, or the answer is not one of a, b and tie.
    """
    if not all(text.strip() for text in (prompt, response_a, response_b)):
        raise UsageError("expected a prompt and two responses")
    if answer not in ("a", "b", "tie"):
        raise UsageError(f'the known answer "{answer[:40]}": expected a, b or tie')
    row: JsonObject = {"prompt": prompt, "response_a": response_a, "response_b": response_b}
    return NewItem({"id": content_hash(row)[:16], **row}, Choice(choice=answer).model_dump(mode="json"))


def _source(kind: Kind, rows: Sequence[Row], words: str, folder: Path | None) -> Source:
    """Checks the rows: not too many, and ids that tell them apart."""
    if not rows:
        raise UsageError(f"{words}: there are no rows")
    if len(rows) > MOST_ROWS:
        raise UsageError(f"{words}: {len(rows):,} rows or more; a queue has at most {MOST_ROWS:,}")
    once: dict[str, Row] = {}
    for row in rows:
        if once.setdefault(row["id"], row) != row:
            raise UsageError(f'{words}: two rows have the id "{row["id"]}"; ids must be unique')
    how = Counter(str(row.get("selection", "")) for row in once.values())
    said = ", ".join(f"{count} {name}" for name, count in sorted(how.items()) if name in ("planned", "disputed"))
    return Source(kind, tuple(once.values()), words + (f": {said}" if said else ""), folder)


def _cohort(row: Row) -> str:
    return str(row.get("cohort") or "all")


def _drawn(count: int, total: int, within_cohort: bool, *, single: bool) -> Selection:
    """How the rows of a random sample were chosen. `single`: whether every prompt has one comparison."""
    if within_cohort:
        return Selection("cohort")
    return Selection("random") if single else Selection("planned", round(count / total, 9))


def _shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    """Rows of a sample in random order; all others as they are."""
    if not any(row.get("selection") in _SAMPLED for row in rows):
        return list(rows)
    return _in_random_order(rows, seed)


def _in_random_order(rows: Sequence[Row], seed: int) -> list[Row]:
    return sorted(rows, key=lambda row: unit_hash("order for people", seed, str(row["id"])))


def _asked(row: ComparisonRow) -> Row:
    weight = {} if row.weight == 1.0 else {"weight": row.weight}
    return as_question(row.comparison, row.category, row.selection) | weight


def _comparisons(file: Path) -> Iterator[ComparisonRow]:
    if not file.is_file():
        raise UsageError(f"{name_of(file)}: there is no such file; rows for people are written by a plan or a label")
    for row in read_comparisons(file):
        if isinstance(row, Malformed):
            raise UsageError(f"{row.place}: {row.reason}")
        yield row


def _raw(file: Path) -> Iterator[tuple[str, Row]]:
    for place, row in read_raw_rows(file):
        if isinstance(row, Malformed):
            raise UsageError(f"{place}: {row.reason}")
        yield place, row


def _of_policies(work: Work, names: Iterable[str]) -> dict[str, list[tuple[Prompt, list[Response]]]]:
    """The responses of these policies, in the evaluation's order."""
    found, wanted = read_policies(work.path), set(names)
    if unknown := sorted(wanted - found.keys()):
        raise UsageError(f'{work.name}: there is no policy "{unknown[0]}"; {nearest(unknown[0], found)}')
    if len(wanted) < 2:
        raise UsageError("expected two different policies or more")
    return {name: responses for name, responses in found.items() if name in wanted}


def _ranked(prompt: Prompt, responses: Sequence[Response], selection: Selection, row_id: str | None) -> Row:
    policies = [response.policy for response in responses]
    columns: Row = {
        "id": row_id or comparison_id(prompt, *responses),
        "prompt": text_or_messages(prompt.conversation, "user"),
        "responses": [text_or_messages(response.messages, "assistant") for response in responses],
        "cohort": prompt.cohort,
        "policies": None if set(policies) == {NO_POLICY} else policies,
        **selection.columns,
    }
    return {name: value for name, value in columns.items() if value is not None}


_Several = tuple[str, Prompt, list[Response], Selection, str | None]


def _several(file: Path) -> Iterator[_Several]:
    """Place, prompt, responses, selection and id of each row."""
    for place, row in _raw(file):
        present = {key: value for key, value in row.items() if value is not None}
        prompt = parse_prompt(
            {key: present[key] for key in ("prompt", "conversation", "cohort", "metadata") if key in present}, place
        )
        texts: Any = present.get("responses", [present["response"]] if "response" in present else None)
        policies: Any = present.get("policies", [present.get("policy")] * len(texts or ()))
        if not isinstance(texts, list) or not texts or not isinstance(policies, list) or len(policies) != len(texts):
            raise UsageError(f'{place}: expected "responses", a list, or "response"; and as many "policies", if any')
        try:
            responses = [
                parse_response(text, "responses", prompt, _text(p)) for text, p in zip(texts, policies, strict=True)
            ]
            selection = read_selection(present)
        except (WrongRowError, WrongSelectionError) as error:
            raise UsageError(f"{place}: {error}") from error
        yield place, prompt, responses, selection, _text(present.get("id"))


def _known_ranking(place: str, row: Row) -> NewItem:
    ranks: Any = row.get("rankings")
    try:
        ranking = Ranking.model_validate({"ranks": ranks[0]})
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise UsageError(f'{place}: expected "rankings", a list with the known ranks, such as [[1, 2, 2]]') from error
    prompt = parse_prompt({"prompt": row.get("prompt")}, place)
    responses = [parse_response(text, "responses", prompt, None) for text in row.get("responses") or ()]
    if len(responses) != len(ranking.ranks):
        raise UsageError(f"{place}: {len(ranking.ranks)} ranks for {len(responses)} responses")
    return NewItem(_ranked(prompt, responses, NOT_SAID, _text(row.get("id"))), ranking.model_dump(mode="json"))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
